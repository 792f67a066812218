//! One message at a time: handled, judged, settled.

mod calling;
mod concluding;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Poll, Waker};

use broker_core::Settled;
use broker_core::broker::Delivery;
use tokio::time::Sleep;

use super::job::{Job, job};
use super::key::KeyMark;
use super::settling::{Settlement, What, settle};
use super::slot::Call;
use super::wiring::Wiring;
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;
use crate::retry::Budget;
use crate::subscriber::AckPolicy;

/// One message at a time: handled, judged, settled.
pub(crate) struct Lane {
    calls: Vec<Box<dyn Call>>,
    settling: Box<dyn Job<Settlement, Option<Settled>>>,
    state: State,
    /// The message in hand, unless it is looked at within its batch.
    delivery: Option<Delivery>,
    route: usize,
    /// Calls of the handler beyond the broker's own count: on a broker that takes no refusals, the lane itself tries
    /// again.
    retries: u32,
    /// What must not overlap with it.
    pub(crate) mark: Option<KeyMark>,
    /// Messages of the same key that wait for this one.
    pub(crate) backlog: VecDeque<Delivery>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs for the call in flight.
    timed: bool,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The ack goes out before the handler is called.
    AckingFirst,
    Handling,
    /// It rests before the lane tries again itself.
    Resting,
    Settling,
}

impl Lane {
    pub(crate) fn new(calls: Vec<Box<dyn Call>>, waker: Waker) -> Self {
        Self {
            calls,
            settling: job(settle),
            state: State::Idle,
            delivery: None,
            route: 0,
            retries: 0,
            mark: None,
            backlog: VecDeque::new(),
            timer: None,
            timed: false,
            waker,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The delivery in hand.
    pub(crate) fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_ref()
    }

    /// Whether a delivery may be tried as a view first: where nothing has to happen before its handler is called.
    #[inline]
    pub(crate) fn tries_views(wiring: &Wiring) -> bool {
        matches!(wiring.ack, AckPolicy::OnSuccess | AckPolicy::Each)
    }

    /// Calls the handler with a view; answers what it says at once, or `None` where that takes longer: the delivery is
    /// then to be [handed over](Self::keep).
    #[inline]
    pub(crate) fn try_view(&mut self, view: Incoming, wiring: &Wiring) -> Option<Result<Outcome, BoxError>> {
        let Some(route) = wiring.route(&view.delivery) else {
            return Some(Ok(Outcome::Skip));
        };
        self.route = route;
        match self.call(view, wiring) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Takes over the delivery whose view is being handled.
    pub(crate) fn keep(
        &mut self,
        delivery: Delivery,
        mark: Option<KeyMark>,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        self.delivery = Some(delivery);
        self.mark = mark;
        self.retries = 0;
        self.state = State::Handling;
        // Its waker is there already: nobody has to ask it again, but for the time it may take.
        if let Poll::Ready(error) = self.poll_timeout(wiring) {
            self.judge(Err(error), wiring, budget);
            self.go_on(wiring, budget);
        }
    }

    /// Takes over the delivery whose view was handled at once, and settles it by the answer.
    pub(crate) fn conclude(
        &mut self,
        delivery: Delivery,
        mark: Option<KeyMark>,
        answer: Result<Outcome, BoxError>,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        self.delivery = Some(delivery);
        self.mark = mark;
        self.retries = 0;
        self.judge(answer, wiring, budget);
        self.go_on(wiring, budget);
    }

    /// Handles a delivery from the beginning.
    pub(crate) fn start(
        &mut self,
        delivery: Delivery,
        mark: Option<KeyMark>,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        self.begin(delivery, mark, wiring, budget);
        self.go_on(wiring, budget);
    }

    /// Goes on with what is in hand, and after it with its backlog, as far as that needs no waiting.
    pub(crate) fn go_on(&mut self, wiring: &Wiring, budget: &mut Budget) {
        loop {
            match self.state {
                State::Idle => {
                    let Some(next) = self.backlog.pop_front() else {
                        self.mark = None;
                        return;
                    };
                    let mark = self.mark;
                    self.begin(next, mark, wiring, budget);
                }
                State::Handling => match self.poll_call() {
                    Poll::Ready(answer) => self.judge(answer, wiring, budget),
                    Poll::Pending => match self.poll_timeout(wiring) {
                        Poll::Ready(error) => self.judge(Err(error), wiring, budget),
                        Poll::Pending => return,
                    },
                },
                State::AckingFirst => match self.poll_settling() {
                    Poll::Ready(_) => self.call_again(wiring, budget),
                    Poll::Pending => return,
                },
                State::Resting => match self.poll_timer() {
                    Poll::Ready(()) => self.call_again(wiring, budget),
                    Poll::Pending => return,
                },
                State::Settling => match self.poll_settling() {
                    Poll::Ready(settled) => self.finish(settled, wiring),
                    Poll::Pending => return,
                },
            }
        }
    }

    /// Drops the call in flight; answers the delivery that was in hand, and whether its handler was cut off.
    pub(crate) fn abort(&mut self) -> Option<(Delivery, bool)> {
        for call in &mut self.calls {
            call.abandon();
        }
        let cut_off = self.state == State::Handling;
        self.state = State::Idle;
        self.mark = None;
        self.delivery.take().map(|delivery| (delivery, cut_off))
    }

    fn begin(&mut self, delivery: Delivery, mark: Option<KeyMark>, wiring: &Wiring, budget: &mut Budget) {
        self.mark = mark;
        self.retries = 0;
        let route = wiring.route(&delivery);
        let view = delivery.view();
        self.delivery = Some(delivery);
        let Some(route) = route else {
            wiring.tally.skipped.add(1);
            self.settle(What::Ack, wiring);
            return;
        };
        self.route = route;
        if wiring.ack == AckPolicy::First && wiring.strategy.acknowledges {
            self.settle(What::Ack, wiring);
            self.state = State::AckingFirst;
            return;
        }
        self.call_with(view, wiring, budget);
    }
}
