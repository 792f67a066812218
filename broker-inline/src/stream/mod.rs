//! A stream: its logs, its groups, and who waits for what.

mod bounds;
mod delayed;
mod groups;
mod ids;
mod position;
mod publish;
mod state;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod stream;
mod survey;
mod trim;

pub(crate) use publish::{OneTried, Rules};
pub(crate) use stream::Stream;
