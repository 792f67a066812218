//! A partition's window: what was handed out and is not yet settled, and how that is written into a commit.

mod foresight;
mod lanes;
mod progress;
mod redelivery;
mod ring;
mod settle;
mod slot;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod window;

pub(crate) use progress::{Progress, SPAN};
pub(crate) use settle::Purpose;
pub(crate) use slot::{Moment, Tag, Who};
pub(crate) use window::{Arrival, Window};
