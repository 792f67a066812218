//! The pieces of work that are measured.

mod channels;
mod engine;
mod inline;
pub mod lanes;

use std::time::Duration;

use serde::Serialize;

use self::engine::Way;
use crate::payload::Payload;
use crate::rounds::Case;

/// Messages of one batch.
pub const BATCH: usize = 100;

/// Messages that a channel holds at most; the broker's log is bounded by its own default.
pub const BOUND: usize = 10_000;

/// One piece of work: messages handed over from publishers to consumers, and acknowledged where there is a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`title` tells what each is")]
pub enum Work {
    FlumeBatch,
    TokioBatch,
    InlineBatch,
    InlineBatchOwned,
    FlumeSingle,
    TokioSingle,
    InlineSingle,
    FlumeFour,
    InlineFour,
    EnginePublish,
    EnginePublishKeyed,
    EnginePublishJson,
    EngineCoalesced,
    EngineEach,
    EngineLanes,
    EngineJson,
    EngineSingle,
    JsonAlone,
    OneLane,
    EightLanes,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::FlumeBatch,
        Self::TokioBatch,
        Self::InlineBatch,
        Self::InlineBatchOwned,
        Self::FlumeSingle,
        Self::TokioSingle,
        Self::InlineSingle,
        Self::FlumeFour,
        Self::InlineFour,
        Self::EnginePublish,
        Self::EnginePublishKeyed,
        Self::EnginePublishJson,
        Self::EngineCoalesced,
        Self::EngineEach,
        Self::EngineLanes,
        Self::EngineJson,
        Self::EngineSingle,
        Self::JsonAlone,
        Self::OneLane,
        Self::EightLanes,
    ];

    /// The most instructions and allocations per message, publishing and handling together, that are asked for.
    pub const fn budget(self) -> Option<(f64, f64)> {
        match self {
            Self::InlineBatch => Some((250.0, 0.05)),
            Self::InlineSingle | Self::EngineSingle => Some((1300.0, 0.05)),
            Self::EngineCoalesced => Some((250.0, 0.05)),
            Self::EngineEach => Some((450.0, 0.05)),
            Self::EngineLanes => Some((550.0, 0.05)),
            // One for the struct's own string.
            Self::EngineJson => Some((1400.0, 1.05)),
            _ => None,
        }
    }

    /// What instructions are held under where they do not reach yet what is asked for: told, not judged by that, and no
    /// leave to grow.
    ///
    /// Of JSON, the parser by itself with the struct's string takes more than what is asked for, as its own line tells;
    /// about a hundred are the counting allocator's own.
    pub const fn held(self) -> Option<f64> {
        match self {
            Self::EngineJson => Some(1930.0),
            _ => None,
        }
    }

    /// The work that is counted apart and taken off, where only the handling side is asked about.
    pub const fn without(self) -> Option<Self> {
        match self {
            Self::EngineCoalesced | Self::EngineEach => Some(Self::EnginePublish),
            Self::EngineLanes => Some(Self::EnginePublishKeyed),
            Self::EngineJson => Some(Self::EnginePublishJson),
            _ => None,
        }
    }

    /// Whether it is counted: what has two sides of several tasks, or mostly waits, is not.
    pub const fn is_counted(self) -> bool {
        !matches!(
            self,
            Self::FlumeFour | Self::InlineFour | Self::OneLane | Self::EightLanes
        )
    }

    /// How many messages it takes where the quickest cases take `messages`.
    pub const fn share(self, messages: usize) -> usize {
        match self {
            Self::OneLane => messages / 4000,
            Self::EightLanes => messages / 500,
            _ => messages,
        }
    }

    /// Whether it is only counted, and not raced.
    pub const fn is_of_engine(self) -> bool {
        matches!(
            self,
            Self::EnginePublish
                | Self::EnginePublishKeyed
                | Self::EnginePublishJson
                | Self::EngineCoalesced
                | Self::EngineEach
                | Self::EngineLanes
                | Self::EngineJson
                | Self::EngineSingle
                | Self::JsonAlone
        )
    }

    /// Does the work; answers how long it took, set-up left out.
    pub async fn run(self, messages: usize, payload: Payload) -> anyhow::Result<Duration> {
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
            Self::EnginePublish => engine::publish(messages, Way::Coalesced, payload).await,
            Self::EnginePublishKeyed => engine::publish(messages, Way::Lanes, payload).await,
            Self::EnginePublishJson => engine::publish(messages, Way::Json, payload).await,
            Self::EngineCoalesced => engine::handle(messages, Way::Coalesced, false, payload).await,
            Self::EngineEach => engine::handle(messages, Way::Each, false, payload).await,
            Self::EngineLanes => engine::handle(messages, Way::Lanes, false, payload).await,
            Self::EngineJson => engine::handle(messages, Way::Json, false, payload).await,
            Self::EngineSingle => engine::handle(messages, Way::Coalesced, true, payload).await,
            Self::JsonAlone => Ok(engine::parse(messages)),
            Self::OneLane => lanes::inline(messages, 1).await,
            Self::EightLanes => lanes::inline(messages, 8).await,
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
            Self::EnginePublish => "engine_publish",
            Self::EnginePublishKeyed => "engine_publish_keyed",
            Self::EnginePublishJson => "engine_publish_json",
            Self::EngineCoalesced => "engine_coalesced",
            Self::EngineEach => "engine_each",
            Self::EngineLanes => "engine_lanes",
            Self::EngineJson => "engine_json",
            Self::EngineSingle => "engine_single",
            Self::JsonAlone => "json_alone",
            Self::OneLane => "lanes_one",
            Self::EightLanes => "lanes_eight",
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
            Self::EnginePublish => "batches of 100, published only",
            Self::EnginePublishKeyed => "batches of 100 with keys, published only",
            Self::EnginePublishJson => "batches of 100 of JSON, published only",
            Self::EngineCoalesced => "engine: log to handler and ack, acks coalesced",
            Self::EngineEach => "engine: log to handler and ack, acked one by one",
            Self::EngineLanes => "engine: log to handler and ack, eight keyed lanes",
            Self::EngineJson => "engine: log to handler and ack, JSON into a small struct",
            Self::EngineSingle => "engine: published one by one and handled",
            Self::JsonAlone => "JSON into a small struct, the parser alone",
            Self::OneLane => "engine: 1 ms handlers, one lane",
            Self::EightLanes => "engine: 1 ms handlers, eight keyed lanes",
        }
    }

    fn beside(self) -> Option<(Self, f64)> {
        match self {
            Self::InlineBatch => Some((Self::FlumeBatch, 0.70)),
            Self::InlineBatchOwned => Some((Self::FlumeBatch, 0.55)),
            Self::InlineSingle => Some((Self::FlumeSingle, 0.90)),
            Self::InlineFour => Some((Self::FlumeFour, 0.60)),
            Self::EightLanes => Some((Self::OneLane, 7.0)),
            _ => None,
        }
    }
}
