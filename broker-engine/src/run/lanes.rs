//! Bounded concurrency that keeps the order of each key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use broker_core::ReceiptRun;
use broker_core::broker::{Batch, Delivery};

use super::key::KeyMark;
use super::lane::Lane;
use super::slot::Call;
use super::wakers::Woken;
use super::wiring::Wiring;
use crate::handler::Outcome;
use crate::retry::Budget;
use crate::subscriber::{AckPolicy, OrderedBy};

/// Lanes that take messages in turn; a message whose key is in a lane waits in that lane.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// Lanes without a message, the one that was in use last on top: its memory is warm.
    free: Vec<usize>,
    woken: Arc<Woken>,
    budget: Budget,
}

/// Why dispatching stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatched {
    /// The batch is empty.
    All,
    /// Every lane has a message.
    Full,
    /// Others of the worker are to have a turn.
    Enough,
}

impl Lanes {
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
    /// A handler that ends at once is called with a view, and acks of its messages are one run: the ordinary case of a
    /// quick handler costs no delivery of its own. What takes longer moves into a lane with its delivery.
    pub(crate) fn dispatch(&mut self, batch: &mut Batch, wiring: &Wiring, mut turn: u32) -> Dispatched {
        if !Lane::tries_views(wiring) {
            return self.dispatch_owned(batch, wiring, turn);
        }
        let keyed = self.lanes.len() > 1 && wiring.ordered_by == OrderedBy::Key;
        let each = wiring.ack == AckPolicy::Each;
        let mut done = 0;
        let ended = loop {
            if done >= turn {
                break Dispatched::Enough;
            }
            let Some(free) = self.free.last().copied() else {
                break Dispatched::Full;
            };
            let Some(view) = batch.next_view() else {
                break Dispatched::All;
            };
            // With nothing in hand there is nothing to keep apart from.
            let mark = (keyed && !self.are_idle())
                .then(|| mark_of(&view, wiring))
                .flatten();
            if let Some(busy) = mark.and_then(|mark| self.lane_of(mark)) {
                batch.ack_viewed_later(done as usize);
                wiring.tally.handled.add(u64::from(std::mem::take(&mut done)));
                if let (Some(delivery), Some(lane)) = (batch.next(), self.lanes.get_mut(busy)) {
                    lane.backlog.push_back(delivery);
                }
                continue;
            }
            let Some(lane) = self.lanes.get_mut(free) else {
                break Dispatched::Full;
            };
            let answer = lane.try_view(view, wiring);
            if let Some(Ok(Outcome::Ack)) = answer {
                if !each {
                    done += 1;
                    continue;
                }
                if batch.try_ack_first() {
                    wiring.tally.handled.add(1);
                    turn = turn.saturating_sub(1);
                    continue;
                }
            }
            batch.ack_viewed_later(done as usize);
            wiring.tally.handled.add(u64::from(std::mem::take(&mut done)));
            let Some(delivery) = batch.next() else {
                break Dispatched::All;
            };
            let mark = keyed.then(|| mark_of(&delivery, wiring)).flatten();
            match answer {
                Some(answer) => lane.conclude(delivery, mark, answer, wiring, &mut self.budget),
                None => lane.keep(delivery, mark, wiring, &mut self.budget),
            }
            if !lane.is_idle() {
                self.free.pop();
            }
        };
        batch.ack_viewed_later(done as usize);
        wiring.tally.handled.add(u64::from(done));
        ended
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
            let mark = keyed.then(|| mark_of(&delivery, wiring)).flatten();
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
        self.lanes.iter().flat_map(|lane| {
            let waiting = lane.backlog.iter();
            lane.delivery()
                .into_iter()
                .chain(waiting)
                .map(|delivery| delivery.receipt().into())
        })
    }

    /// Takes out what waits for its key, which was never handled.
    pub(crate) fn take_waiting(&mut self) -> Vec<Delivery> {
        let waiting = self
            .lanes
            .iter_mut()
            .map(|lane| std::mem::take(&mut lane.backlog));
        waiting.flat_map(VecDeque::into_iter).collect()
    }

    /// Cuts off what is in hand; answers the deliveries, and of each whether its handler was running.
    pub(crate) fn abort(&mut self) -> Vec<(Delivery, bool)> {
        let cut_off: Vec<_> = self.lanes.iter_mut().filter_map(Lane::abort).collect();
        self.free = (0..self.lanes.len()).rev().collect();
        cut_off
    }
}

#[inline]
fn mark_of(delivery: &Delivery, wiring: &Wiring) -> Option<KeyMark> {
    delivery.message_key().map(|key| KeyMark::of(key, wiring.seed))
}
