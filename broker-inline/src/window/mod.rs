//! A group's window: what was handed out and is not yet settled, and the arithmetic of both its ends.

mod lanes;
mod redelivery;
mod ring;
mod settle;
mod slot;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod window;

pub(crate) use settle::Purpose;
pub(crate) use slot::{Tag, Who};
pub(crate) use window::{Lost, Window};
