//! The laws of the engine, held on every broker alike.
//!
//! Each is a function over a stage, told once; the programs in `tests` hold all of them, each on its kind of broker. What only
//! one kind can show stands in the engine's own tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod batches;
mod dead_letters;
mod delivery;
mod failures;
mod groups;
mod hold;
mod leases;
mod order;
mod outcomes;
mod patterns;
mod requests;
mod rpc;
mod stage;
mod stopping;
mod support;
mod watch;

pub use hold::hold;
pub use order::lanes;
pub use stage::{Barred, Kind};
pub use support::{PATIENCE, Seen, dead, publish_numbers, quick, until};
