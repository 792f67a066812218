//! Messages counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::values::Counts;

/// Messages counted since the broker was opened. Each batch is one addition.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: Counter,
    pub(super) publish_failed: Counter,
    pub(super) delivered: Counter,
    pub(super) redelivered: Counter,
    pub(super) acked: Counter,
    pub(super) nacked: Counter,
    pub(super) dead: Counter,
    pub(super) discarded: Counter,
    pub(super) failed_calls: Counter,
    /// Deliveries that are no longer in somebody's hands, however they ended.
    pub(super) released: Counter,
}

/// One number on a cache line of its own: publishers and consumers count without disturbing each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn snapshot(&self) -> Counts {
        let released = self.released.get();
        let delivered = self.delivered.get();
        Counts {
            published: self.published.get(),
            publish_failed: self.publish_failed.get(),
            delivered,
            redelivered: self.redelivered.get(),
            acked: self.acked.get(),
            nacked: self.nacked.get(),
            dead: self.dead.get(),
            discarded: self.discarded.get(),
            in_flight: delivered.saturating_sub(released),
            failed_calls: self.failed_calls.get(),
        }
    }
}
