//! Bounded concurrency that keeps the order of each key.

mod batched;
mod single;

pub(crate) use batched::BatchLanes;
pub(crate) use single::SingleLanes;

use std::task::Waker;

use broker_core::ReceiptRun;
use broker_core::broker::{Batch, Delivery};

use super::wiring::Wiring;

/// What handles at once.
pub(crate) enum Lanes {
    /// A message each.
    Single(SingleLanes),
    /// A batch each.
    Batched(BatchLanes),
}

/// Why dispatching stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatched {
    /// The batch is empty.
    All,
    /// Every lane has what it can take.
    Full,
    /// Others of the worker are to have a turn.
    Enough,
}

impl Lanes {
    /// Who is woken when a lane can go on.
    pub(crate) fn register(&self, waker: &Waker) {
        match self {
            Self::Single(lanes) => lanes.register(waker),
            Self::Batched(lanes) => lanes.register(waker),
        }
    }

    /// Whether no lane has a message.
    pub(crate) fn are_idle(&self) -> bool {
        match self {
            Self::Single(lanes) => lanes.are_idle(),
            Self::Batched(lanes) => lanes.are_idle(),
        }
    }

    /// Goes on with the lanes that were woken.
    pub(crate) fn go_on(&mut self, wiring: &Wiring) {
        match self {
            Self::Single(lanes) => lanes.go_on(wiring),
            Self::Batched(lanes) => lanes.go_on(wiring),
        }
    }

    /// Hands messages of the batch to lanes, in order, for at most `turn` messages.
    pub(crate) fn dispatch(&mut self, batch: &mut Batch, wiring: &Wiring, turn: u32) -> Dispatched {
        match self {
            Self::Single(lanes) => lanes.dispatch(batch, wiring, turn),
            Self::Batched(lanes) => lanes.dispatch(batch, wiring, turn),
        }
    }

    /// Nothing more is there for now: who waits for company does so only where more is `to_come`.
    pub(crate) fn pause(&mut self, to_come: bool, wiring: &Wiring) {
        match self {
            Self::Single(_) => {}
            Self::Batched(lanes) => lanes.pause(to_come, wiring),
        }
    }

    /// The receipts of all that is in hand, whose leases are to be prolonged.
    pub(crate) fn receipts(&self) -> Vec<ReceiptRun> {
        match self {
            Self::Single(lanes) => lanes.receipts().collect(),
            Self::Batched(lanes) => lanes.receipts().collect(),
        }
    }

    /// Takes out what waits for its turn, which was never handled.
    pub(crate) fn take_waiting(&mut self) -> Vec<Delivery> {
        match self {
            Self::Single(lanes) => lanes.take_waiting(),
            Self::Batched(lanes) => lanes.take_waiting(),
        }
    }

    /// Cuts off what is in hand; answers the deliveries.
    pub(crate) fn abort(&mut self) -> Vec<Delivery> {
        match self {
            Self::Single(lanes) => lanes.abort(),
            Self::Batched(lanes) => lanes.abort(),
        }
    }
}
