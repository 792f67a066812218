//! Reaching servers: what is refused and how it is told, and what a cluster and Sentinels may do meanwhile.

mod cluster;
mod refused;
mod scene;
mod sentinel;
mod server;
