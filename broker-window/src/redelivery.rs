//! Messages that are to come again.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::SystemTime;

use crate::Moment;

/// Messages that are to come again: at once, or after a rest. Empty, and without memory, while nothing fails.
#[derive(Debug, Default)]
pub(crate) struct Redelivery {
    ready: BTreeSet<u64>,
    resting: BinaryHeap<Reverse<(Moment, u64)>>,
    failing: HashMap<u64, SystemTime>,
}

impl Redelivery {
    /// Whether nothing is ready.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether no message has failed.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        self.failing.is_empty()
    }

    /// The message may be handed out again.
    pub(crate) fn ready(&mut self, offset: u64) {
        self.ready.insert(offset);
    }

    /// The message may be handed out again at `due`.
    pub(crate) fn rest(&mut self, offset: u64, due: Moment) {
        self.resting.push(Reverse((due, offset)));
    }

    /// When the next one has rested.
    #[inline]
    pub(crate) fn due(&self) -> Moment {
        self.resting
            .peek()
            .map_or(Moment::NEVER, |Reverse((due, _))| *due)
    }

    /// Readies what has rested until `now`.
    pub(crate) fn wake(&mut self, now: Moment) {
        while let Some(Reverse((due, offset))) = self.resting.peek().copied() {
            if due > now {
                break;
            }
            self.resting.pop();
            self.ready.insert(offset);
        }
    }

    /// The ready offset that comes first from `from` on.
    pub(crate) fn first_from(&self, from: u64) -> Option<u64> {
        self.ready.range(from..).next().copied()
    }

    /// The message was handed out.
    pub(crate) fn take(&mut self, offset: u64) {
        self.ready.remove(&offset);
    }

    /// The message failed at `at`; the first such time is kept.
    pub(crate) fn failed(&mut self, offset: u64, at: SystemTime) {
        self.failing.entry(offset).or_insert(at);
    }

    /// Takes over when messages failed for the first time.
    pub(crate) fn failed_before(&mut self, other: &Self) {
        self.failing.extend(&other.failing);
    }

    /// When the message failed for the first time.
    pub(crate) fn first_failed(&self, offset: u64) -> Option<SystemTime> {
        self.failing.get(&offset).copied()
    }

    /// The message is done.
    pub(crate) fn settled(&mut self, offset: u64) {
        self.failing.remove(&offset);
    }

    /// Everything before `low` is done or gone.
    pub(crate) fn forget_before(&mut self, low: u64) {
        self.ready = self.ready.split_off(&low);
        self.resting.retain(|Reverse((_, offset))| *offset >= low);
        self.failing.retain(|offset, _| *offset >= low);
    }
}
