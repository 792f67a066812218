//! The commands on brokers of this process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and their helpers may stop at the first surprise"
)]

mod messages;
mod operators;
mod support;
mod trace;
mod unreachable;
