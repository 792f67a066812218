//! One opened broker: what it claims, whether it is closed, and what it does with the state.

mod handling;
mod publishing;
mod reading;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod session;
mod settling;

pub(crate) use session::Session;
