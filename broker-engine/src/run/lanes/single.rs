//! Lanes that handle a message each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use broker_core::ReceiptRun;
use broker_core::broker::{Batch, Delivery};

use crate::run::feed::{Feed, look};
use crate::run::key::KeyMark;
use crate::run::lane::Lane;
use crate::run::slot::Call;
use crate::run::wakers::Woken;
use crate::run::wiring::Wiring;

use super::Dispatched;
use crate::handler::Outcome;
use crate::incoming::Incoming;
use crate::retry::Budget;
use crate::subscriber::OrderedBy;

/// Lanes that take messages in turn; a message whose key is in a lane waits in that lane.
pub(crate) struct SingleLanes {
    lanes: Vec<Lane>,
    /// Lanes without a message, the one that was in use last on top: its memory is warm.
    free: Vec<usize>,
    woken: Arc<Woken>,
    budget: Budget,
    /// What handlers look at, used again and again; between batches it keeps the memory of the last one.
    looked: Option<Incoming>,
}

impl SingleLanes {
    /// So many lanes, each with what `calls` makes for it.
    pub(crate) fn new(count: usize, budget: Budget, calls: impl Fn() -> Vec<Box<dyn Call>>) -> Self {
        let woken = Woken::new(count);
        Self {
            lanes: (0..count)
                .map(|lane| Lane::new(calls(), woken.waker(lane)))
                .collect(),
            free: (0..count).rev().collect(),
            woken,
            budget,
            looked: None,
        }
    }

    /// Who is woken when a lane can go on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.woken.register(waker);
    }

    /// Whether no lane has a message.
    pub(crate) fn are_idle(&self) -> bool {
        self.free.len() == self.lanes.len()
    }

    /// Goes on with the lanes that were woken.
    pub(crate) fn go_on(&mut self, wiring: &Wiring) {
        for index in self.woken.take() {
            let Some(lane) = self.lanes.get_mut(index).filter(|lane| !lane.is_idle()) else {
                continue;
            };
            lane.go_on(wiring, &mut self.budget);
            if lane.is_idle() {
                self.free.push(index);
            }
        }
    }

    /// Hands messages of the batch to lanes, in order, for at most `turn` messages.
    ///
    /// A handler that ends at once is called with views, and acks of its messages are one run: the ordinary case of a
    /// quick handler costs no delivery of its own. What takes longer moves into a lane with its delivery.
    pub(crate) fn dispatch(&mut self, batch: &mut Batch, wiring: &Wiring, mut turn: u32) -> Dispatched {
        if !Lane::tries_views(wiring) {
            return self.dispatch_owned(batch, wiring, turn);
        }
        let keyed = self.lanes.len() > 1 && wiring.ordered_by == OrderedBy::Key;
        while turn > 0 {
            let Some(free) = self.free.last().copied() else {
                return Dispatched::Full;
            };
            let Some(view) = look(&mut self.looked, batch, wiring) else {
                return Dispatched::All;
            };
            let route = wiring.route(&view.delivery);
            // With nothing in hand there is nothing to keep apart from.
            let apart = keyed && !self.are_idle();
            let mark = apart.then(|| wiring.mark(&view.delivery)).flatten();
            drop(view);
            batch.ack_viewed_later(0);
            let busy = mark.and_then(|mark| self.lane_of(mark));
            let Some(lane) = self.lanes.get_mut(busy.unwrap_or(free)) else {
                return Dispatched::Full;
            };
            if busy.is_some() {
                lane.backlog.extend(batch.next());
                turn -= 1;
                continue;
            }
            let answer = match route {
                Some(route) => {
                    let most = if apart { 1 } else { turn };
                    let mut feed = Feed::new(batch, &mut self.looked, wiring, route, most);
                    let answer = lane.feed(route, &mut feed);
                    turn -= feed.end();
                    answer
                }
                None => Some(Poll::Ready(Ok(Outcome::Skip))),
            };
            let Some(answer) = answer else {
                continue;
            };
            let Some(delivery) = batch.next() else {
                return Dispatched::All;
            };
            let mark = keyed.then(|| wiring.mark(&delivery)).flatten();
            lane.take_over(delivery, mark, answer, wiring, &mut self.budget);
            if !lane.is_idle() {
                self.free.pop();
            }
        }
        Dispatched::Enough
    }

    fn dispatch_owned(&mut self, batch: &mut Batch, wiring: &Wiring, turn: u32) -> Dispatched {
        let keyed = self.lanes.len() > 1 && wiring.ordered_by == OrderedBy::Key;
        for _ in 0..turn {
            let Some(free) = self.free.last().copied() else {
                return Dispatched::Full;
            };
            let Some(delivery) = batch.next() else {
                return Dispatched::All;
            };
            let mark = keyed.then(|| wiring.mark(&delivery)).flatten();
            if let Some(busy) = mark.and_then(|mark| self.lane_of(mark)) {
                if let Some(lane) = self.lanes.get_mut(busy) {
                    lane.backlog.push_back(delivery);
                }
                continue;
            }
            let Some(lane) = self.lanes.get_mut(free) else {
                return Dispatched::Full;
            };
            lane.start(delivery, mark, wiring, &mut self.budget);
            if !lane.is_idle() {
                self.free.pop();
            }
        }
        Dispatched::Enough
    }

    fn lane_of(&self, mark: KeyMark) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.mark == Some(mark))
    }

    /// The receipts of all that is in hand, whose leases are to be prolonged.
    pub(crate) fn receipts(&self) -> impl Iterator<Item = ReceiptRun> {
        let deliveries = self.lanes.iter().flat_map(Lane::deliveries);
        deliveries.map(|delivery| delivery.receipt().into())
    }

    /// Takes out what waits for its key, which was never handled.
    pub(crate) fn take_waiting(&mut self) -> Vec<Delivery> {
        let waiting = self
            .lanes
            .iter_mut()
            .map(|lane| std::mem::take(&mut lane.backlog));
        waiting.flat_map(VecDeque::into_iter).collect()
    }

    /// Cuts off what is in hand; answers the deliveries.
    pub(crate) fn abort(&mut self) -> Vec<Delivery> {
        let cut_off: Vec<_> = self.lanes.iter_mut().filter_map(Lane::abort).collect();
        self.free = (0..self.lanes.len()).rev().collect();
        cut_off
    }
}
