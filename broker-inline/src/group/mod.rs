//! A group of consumers: its progress, its members, its dead letters.

mod burial;
mod dead_letters;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod group;
mod info;
mod members;
mod progress;
mod reading;
mod replayed;

pub(crate) use dead_letters::DeadLetterStore;
pub(crate) use group::{Consumer, Group};
pub(crate) use members::Member;
pub(crate) use progress::Gone;
#[cfg(all(test, not(feature = "shuttle")))]
pub(crate) use progress::{Progress, Reading};
