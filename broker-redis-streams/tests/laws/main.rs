//! What the provider keeps beyond the conformance suite, on private servers.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod attempts;
mod foreign;
mod late;
mod load;
mod members;
mod recovery;
mod retention;
mod scene;
mod wake;
