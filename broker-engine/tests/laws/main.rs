//! The laws of the engine, each as a test on real parts: the in-process broker with a paused clock, and Redis.

mod declared;
mod delivery;
mod failures;
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
