//! The messages of a partition, and how readers follow them.

mod cursor;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod log;
mod segment;

pub(crate) use cursor::{Cursor, Feed};
pub(crate) use log::{Cut, Log, SegmentLimits};
pub(crate) use segment::{Named, Segment};
