//! Following a log from segment to segment.

use std::sync::Arc;

use super::segment::Segment;
use crate::sync::{AtomicU64, Ordering};

/// A partition's log as its readers see it: without the lock of those who write to it.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    pub(crate) partition: u32,
    /// The offset after the newest message.
    pub(crate) newest: &'a AtomicU64,
    /// The offset after the newest message that lies in a segment.
    pub(crate) settled: &'a AtomicU64,
    /// Finds the segment of an offset, or the first one kept after it, with the writers' lock; after this everything
    /// that there was lies in segments.
    pub(crate) find: &'a dyn Fn(u64) -> Option<Arc<Segment>>,
}

impl Feed<'_> {
    /// The offset up to which there is something to read, for a reader that is at `next`: beyond it if there is anything.
    #[inline]
    pub(crate) fn reach(&self, next: u64) -> u64 {
        let settled = self.settled.load(Ordering::Acquire);
        if settled > next || self.newest.load(Ordering::Acquire) <= next {
            return settled;
        }
        let _ = (self.find)(next);
        self.settled.load(Ordering::Acquire)
    }
}

/// The segment that a reader is at.
#[derive(Default)]
pub(crate) struct Cursor(Option<Arc<Segment>>);

impl Cursor {
    /// The segment of `offset`, or the first one kept after it, for an offset before the tail.
    #[inline]
    pub(crate) fn seek(&mut self, offset: u64, feed: &Feed<'_>) -> Option<&Arc<Segment>> {
        let here = self
            .0
            .as_ref()
            .is_some_and(|segment| (segment.first()..segment.end()).contains(&offset));
        if !here {
            let next = self.0.as_ref().filter(|segment| segment.end() == offset);
            let next = next.and_then(|segment| segment.next());
            self.0 = match next {
                Some(next) if (next.first()..next.end()).contains(&offset) => Some(next),
                _ => (feed.find)(offset),
            };
        }
        self.0.as_ref()
    }

    /// Lets go of the segment.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cursor")
            .field(&self.0.as_ref().map(|segment| segment.first()))
            .finish()
    }
}
