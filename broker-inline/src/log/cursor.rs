//! Following a log from segment to segment.

use std::sync::Arc;

use super::segment::Segment;
use crate::sync::AtomicU64;

/// A partition's log as its readers see it: without the lock of those who write to it.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    pub(crate) partition: u32,
    /// The offset after the newest message.
    pub(crate) tail: &'a AtomicU64,
    /// Finds the segment of an offset, or the first one kept after it, with the writers' lock.
    pub(crate) find: &'a dyn Fn(u64) -> Option<Arc<Segment>>,
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
