//! What the engine keeps beside the laws that hold on every broker alike: on the in-process broker with a paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

mod batch_layers;
mod batches_gathering;
mod dead_letters;
mod declared;
mod failures;
mod faulty;
mod layers;
mod order;
mod patterns;
mod plan;
mod policies;
mod requests;
mod support;
mod weaker;
