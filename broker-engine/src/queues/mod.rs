//! Queues as declared data, used by name.

mod declaration;
mod error;
mod queue;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod queues;
#[cfg(feature = "web-queues")]
mod web;

pub use error::QueueError;
pub use queue::Queue;
pub use queues::Queues;
