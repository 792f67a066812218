//! From declared subscribers to a running service, and to its end.

mod assemble;
mod builder;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod engine;
mod join;
mod receipt;
mod signals;

pub(crate) use assemble::Assembled;
pub use builder::EngineBuilder;
pub use engine::{Engine, EngineHandle};
pub use receipt::{Receipt, SubscriberReceipt};
