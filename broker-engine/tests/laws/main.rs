//! The laws of the engine, each as a test on real parts: the in-process broker with a paused clock, and Redis.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

mod batch_layers;
mod batches;
mod batches_gathering;
mod dead_letters;
mod declared;
mod delivery;
mod failures;
mod faulty;
mod layers;
mod leases;
mod order;
mod patterns;
mod plan;
mod policies;
mod requests;
mod stopping;
mod support;
mod weaker;
