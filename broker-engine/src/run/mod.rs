//! Running one subscriber: lanes, settling, leases, stopping.

mod fault;
mod feed;
mod job;
mod key;
mod lane;
mod lanes;
mod runner;
mod settling;
mod slot;
mod stopping;
mod tally;
mod verdict;
mod wakers;
mod wiring;

pub(crate) use key::seed;
pub(crate) use lanes::{BatchLanes, Lanes, SingleLanes};
pub(crate) use runner::Runner;
pub(crate) use settling::dead_letter;
pub(crate) use slot::{BatchCall, Batching, Call, Slot};
pub(crate) use stopping::{Phase, Stop};
pub(crate) use tally::Tally;
pub use tally::TallySnapshot;
pub(crate) use wiring::{RouteInfo, Strategy, Wiring};
