//! The laws of the design, and what this broker adds to them, each in a test that names it.

// The race checker's locks and clock work in `races` only.
#![cfg(not(feature = "shuttle"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise, in its helpers too"
)]

mod bounds;
mod claims;
mod dead_letters;
mod delayed;
mod delivery;
mod groups;
mod idempotency;
mod leases;
mod listeners;
mod load;
mod order;
mod partitions;
mod replay;
mod retention;
mod settings;
mod sharing;
mod streams;
mod support;
mod waiting;
