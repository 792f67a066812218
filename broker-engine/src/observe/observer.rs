//! Who is told of handlings.

use std::time::Duration;

use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// How a handling ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ended<'a> {
    /// The handler answered.
    Answered(&'a Outcome),
    /// The handler failed, or the message was not what it takes.
    Failed(&'a BoxError),
    /// The handler panicked, took too long, or was cut off by a shutdown.
    CutOff,
}

/// Is told of each handling: each call of a handler, retries included. It is called between messages, and so must be
/// quick.
pub trait Observer: Send + Sync + 'static {
    /// A handler is about to be called; the number comes back at its end.
    fn started(&self, incoming: &Incoming) -> u64;

    /// The handling that [`started`](Self::started) answered `number` for has ended, after `took`.
    fn ended(&self, number: u64, took: Duration, how: Ended<'_>);
}
