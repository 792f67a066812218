//! The pieces of work that are measured.

mod channels;
mod inline;

use std::time::Duration;

use serde::Serialize;

use crate::payload::Payload;
use crate::rounds::Case;

/// Messages of one batch.
pub(crate) const BATCH: usize = 100;

/// Messages that a channel holds at most; the broker's log is bounded by its own default.
pub(crate) const BOUND: usize = 10_000;

/// One piece of work: messages handed over from publishers to consumers, and acknowledged where there is a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    FlumeBatch,
    TokioBatch,
    InlineBatch,
    InlineBatchOwned,
    FlumeSingle,
    TokioSingle,
    InlineSingle,
    FlumeFour,
    InlineFour,
}

impl Work {
    pub(crate) const ALL: [Self; 9] = [
        Self::FlumeBatch,
        Self::TokioBatch,
        Self::InlineBatch,
        Self::InlineBatchOwned,
        Self::FlumeSingle,
        Self::TokioSingle,
        Self::InlineSingle,
        Self::FlumeFour,
        Self::InlineFour,
    ];

    /// The most instructions and allocations per message, publishing and handling together, that are asked for.
    pub(crate) const fn budget(self) -> Option<(f64, f64)> {
        match self {
            Self::InlineBatch => Some((250.0, 0.05)),
            Self::InlineSingle => Some((1300.0, 0.05)),
            _ => None,
        }
    }

    /// Does the work; answers how long it took, set-up left out.
    pub(crate) async fn run(self, messages: usize, payload: Payload) -> anyhow::Result<Duration> {
        match self {
            Self::FlumeBatch => channels::flume_batches(messages, payload).await,
            Self::TokioBatch => channels::tokio_batches(messages, payload).await,
            Self::InlineBatch => inline::batches(messages, false, payload).await,
            Self::InlineBatchOwned => inline::batches(messages, true, payload).await,
            Self::FlumeSingle => channels::flume_singles(messages, 1, payload).await,
            Self::TokioSingle => channels::tokio_singles(messages, payload).await,
            Self::InlineSingle => inline::singles(messages, 1, payload).await,
            Self::FlumeFour => channels::flume_singles(messages, 4, payload).await,
            Self::InlineFour => inline::singles(messages, 4, payload).await,
        }
    }
}

impl Case for Work {
    fn name(self) -> &'static str {
        match self {
            Self::FlumeBatch => "flume_batch",
            Self::TokioBatch => "tokio_batch",
            Self::InlineBatch => "inline_batch",
            Self::InlineBatchOwned => "inline_batch_owned",
            Self::FlumeSingle => "flume_single",
            Self::TokioSingle => "tokio_single",
            Self::InlineSingle => "inline_single",
            Self::FlumeFour => "flume_four",
            Self::InlineFour => "inline_four",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::FlumeBatch => "batches of 100, flume of Vec",
            Self::TokioBatch => "batches of 100, tokio mpsc of Vec",
            Self::InlineBatch => "batches of 100, inline, acked by batch",
            Self::InlineBatchOwned => "batches of 100, inline, owned deliveries acked one by one",
            Self::FlumeSingle => "one by one, flume",
            Self::TokioSingle => "one by one, tokio mpsc",
            Self::InlineSingle => "one by one, inline",
            Self::FlumeFour => "one by one, 4 to 4, flume",
            Self::InlineFour => "one by one, 4 to 4, inline",
        }
    }

    fn beside(self) -> Option<(Self, f64)> {
        match self {
            Self::InlineBatch => Some((Self::FlumeBatch, 0.70)),
            Self::InlineBatchOwned => Some((Self::FlumeBatch, 0.55)),
            Self::InlineSingle => Some((Self::FlumeSingle, 0.90)),
            Self::InlineFour => Some((Self::FlumeFour, 0.60)),
            _ => None,
        }
    }
}
