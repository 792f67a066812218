//! The laws of the design, and what this broker adds to them, each in a test that names it.

mod bounds;
mod claims;
mod dead_letters;
mod delayed;
mod delivery;
mod groups;
mod idempotency;
mod leases;
mod listeners;
mod order;
mod partitions;
mod replay;
mod retention;
mod settings;
mod sharing;
mod streams;
// Marked as a test so that lints know its unwraps are.
#[cfg(test)]
mod support;
mod waiting;
