//! What each subscriber is guaranteed: by the broker, by the engine, or not at all.

mod compare;
mod entry;
#[expect(clippy::module_inception, reason = "the room's noun is its file")]
mod plan;

pub use compare::{Change, Comparison};
pub use entry::PlanEntry;
pub use plan::Plan;
