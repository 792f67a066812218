//! What becomes of a message after its handler.

use std::time::Duration;

use broker_core::Message;

use super::{BoxError, Outgoing};

/// What becomes of a message after its handler.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done.
    Ack,
    /// It is done without having been handled, and counted apart.
    Skip,
    /// It comes again, after this delay or the policy's back-off, until its attempts are used up.
    Nack {
        /// How long it rests; `None` leaves that to the policy.
        delay: Option<Duration>,
        /// Why.
        reason: BoxError,
    },
    /// It goes to the dead letters at once.
    DeadLetter {
        /// Why.
        reason: BoxError,
    },
    /// These messages are published, and then it is done. They follow from it: correlation and trace context go along.
    Publish(Vec<Outgoing>),
    /// It was a request, and this is its answer, which is published before it is done. [`Reply`](crate::Reply) makes it.
    Reply(Box<Message>),
}

impl Outcome {
    /// It comes again after the policy's back-off.
    pub fn nack(reason: impl Into<BoxError>) -> Self {
        Self::Nack {
            delay: None,
            reason: reason.into(),
        }
    }

    /// It comes again after `delay`.
    pub fn nack_after(delay: Duration, reason: impl Into<BoxError>) -> Self {
        Self::Nack {
            delay: Some(delay),
            reason: reason.into(),
        }
    }

    /// It goes to the dead letters at once.
    pub fn dead_letter(reason: impl Into<BoxError>) -> Self {
        Self::DeadLetter {
            reason: reason.into(),
        }
    }
}
