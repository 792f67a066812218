//! What a subscriber did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a subscriber did since it started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) started: Count,
    pub(crate) handled: Count,
    pub(crate) skipped: Count,
    pub(crate) retried: Count,
    pub(crate) dead: Count,
    pub(crate) given_back: Count,
    pub(crate) abandoned: Count,
    pub(crate) panics: Count,
    pub(crate) timeouts: Count,
    pub(crate) undecodable: Count,
    pub(crate) published: Count,
    /// Messages of handlers that could not be published before the end.
    pub(crate) unsent: Count,
    pub(crate) read_errors: Count,
    pub(crate) settle_errors: Count,
}

/// A number that one task counts up and others look at.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a subscriber did since it started, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TallySnapshot {
    /// Calls of handlers.
    pub started: u64,
    /// Messages settled as done after their handler.
    pub handled: u64,
    /// Messages settled as done without a handler.
    pub skipped: u64,
    /// Messages that come again after a failure.
    pub retried: u64,
    /// Messages given up: dead letters, or discarded where there are none.
    pub dead: u64,
    /// Messages that were read ahead and handed back unhandled at the end.
    pub given_back: u64,
    /// Messages whose handler was cut off at the end of the drain; they come again.
    pub abandoned: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Handlers that took too long.
    pub timeouts: u64,
    /// Messages that were not what their handler takes.
    pub undecodable: u64,
    /// Messages that handlers answered with and that were published.
    pub published: u64,
    /// Messages that handlers answered with and that could not be published before the end.
    pub unsent: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Settlements that failed; they are tried again.
    pub settle_errors: u64,
}

impl Tally {
    /// The numbers at this moment.
    pub(crate) fn snapshot(&self) -> TallySnapshot {
        TallySnapshot {
            started: self.started.get(),
            handled: self.handled.get(),
            skipped: self.skipped.get(),
            retried: self.retried.get(),
            dead: self.dead.get(),
            given_back: self.given_back.get(),
            abandoned: self.abandoned.get(),
            panics: self.panics.get(),
            timeouts: self.timeouts.get(),
            undecodable: self.undecodable.get(),
            published: self.published.get(),
            unsent: self.unsent.get(),
            read_errors: self.read_errors.get(),
            settle_errors: self.settle_errors.get(),
        }
    }
}

impl TallySnapshot {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            handled: self.handled + other.handled,
            skipped: self.skipped + other.skipped,
            retried: self.retried + other.retried,
            dead: self.dead + other.dead,
            given_back: self.given_back + other.given_back,
            abandoned: self.abandoned + other.abandoned,
            panics: self.panics + other.panics,
            timeouts: self.timeouts + other.timeouts,
            undecodable: self.undecodable + other.undecodable,
            published: self.published + other.published,
            unsent: self.unsent + other.unsent,
            read_errors: self.read_errors + other.read_errors,
            settle_errors: self.settle_errors + other.settle_errors,
        }
    }
}
