//! The bounds of everything that is kept.

use crate::config::WhenFull;
use crate::log::SegmentLimits;

/// The bounds of everything that is kept; the same for all who share the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) partitions: u32,
    pub(crate) capacity: usize,
    pub(crate) capacity_bytes: usize,
    /// How many messages are kept that every group has settled.
    pub(crate) history: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) max_unsettled: usize,
    pub(crate) max_streams: usize,
    pub(crate) max_groups: usize,
    pub(crate) max_dead_letters: usize,
    pub(crate) idempotency_window: usize,
}

impl Limits {
    /// The bounds of one segment: what can't be let go of in part is at most a sixteenth of what a stream keeps.
    pub(crate) fn segments(&self) -> SegmentLimits {
        SegmentLimits {
            messages: (self.capacity / 16).max(8),
            bytes: (self.capacity_bytes / 16).max(1),
            small: self.capacity / 64,
        }
    }
}
