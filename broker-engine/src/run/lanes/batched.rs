//! Lanes that handle a batch each.

use std::sync::Arc;
use std::task::Waker;

use broker_core::ReceiptRun;
use broker_core::broker::{Batch, Delivery};

use super::Dispatched;
use crate::retry::Budget;
use crate::run::key::KeyMark;
use crate::run::lane::BatchLane;
use crate::run::slot::{BatchCall, Batching};
use crate::run::wakers::Woken;
use crate::run::wiring::Wiring;
use crate::subscriber::OrderedBy;

/// Lanes that handle a batch each; messages of one key are never in two of them, so that no two batches have the same
/// key at once.
pub(crate) struct BatchLanes {
    lanes: Vec<BatchLane>,
    woken: Arc<Woken>,
    budget: Budget,
}

impl BatchLanes {
    /// So many lanes, each with what `call` makes for it.
    pub(crate) fn new(
        count: usize,
        batching: Batching,
        budget: Budget,
        call: impl Fn() -> Box<dyn BatchCall>,
    ) -> Self {
        let woken = Woken::new(count);
        Self {
            lanes: (0..count)
                .map(|lane| BatchLane::new(call(), batching, woken.waker(lane)))
                .collect(),
            woken,
            budget,
        }
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.woken.register(waker);
    }

    pub(super) fn are_idle(&self) -> bool {
        self.lanes.iter().all(BatchLane::is_idle)
    }

    pub(super) fn go_on(&mut self, wiring: &Wiring) {
        for index in self.woken.take() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.go_on(wiring, &mut self.budget);
            }
        }
    }

    pub(super) fn dispatch(&mut self, batch: &mut Batch, wiring: &Wiring, turn: u32) -> Dispatched {
        let keyed = self.lanes.len() > 1 && wiring.ordered_by == OrderedBy::Key;
        for _ in 0..turn {
            let Some(free) = self.open_lane() else {
                return Dispatched::Full;
            };
            let Some(delivery) = batch.next() else {
                return Dispatched::All;
            };
            if wiring.route(&delivery).is_none() {
                wiring.tally.skipped.add(1);
                delivery.ack_later();
                continue;
            }
            let mark = keyed.then(|| wiring.mark(&delivery)).flatten();
            let place = mark.and_then(|mark| self.lane_of(mark)).unwrap_or(free);
            if let Some(lane) = self.lanes.get_mut(place) {
                lane.push(delivery, mark, wiring, &mut self.budget);
            }
        }
        Dispatched::Enough
    }

    pub(super) fn pause(&mut self, to_come: bool, wiring: &Wiring) {
        for lane in &mut self.lanes {
            lane.pause(to_come, wiring, &mut self.budget);
        }
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = ReceiptRun> {
        let deliveries = self.lanes.iter().flat_map(BatchLane::deliveries);
        deliveries.map(|delivery| delivery.receipt().into())
    }

    pub(super) fn take_waiting(&mut self) -> Vec<Delivery> {
        self.lanes.iter_mut().flat_map(BatchLane::take_waiting).collect()
    }

    pub(super) fn abort(&mut self) -> Vec<Delivery> {
        self.lanes.iter_mut().flat_map(BatchLane::abort).collect()
    }

    /// The lane whose batch is being gathered, or else one that has nothing to do.
    fn open_lane(&self) -> Option<usize> {
        let open = self.lanes.iter().position(BatchLane::is_open);
        open.or_else(|| self.lanes.iter().position(BatchLane::is_idle))
    }

    fn lane_of(&self, mark: KeyMark) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.has(mark))
    }
}
