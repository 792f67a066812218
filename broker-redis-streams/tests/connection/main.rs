//! Reaching servers: what is refused and how it is told, and what a cluster and Sentinels may do meanwhile.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod cluster;
mod refused;
mod scene;
mod sentinel;
mod server;
