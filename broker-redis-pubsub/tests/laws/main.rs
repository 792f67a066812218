//! What the provider keeps beyond the conformance suite, on private servers.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod channel;
mod connection;
mod list;
mod load;
mod queue;
mod scene;
mod wire;
