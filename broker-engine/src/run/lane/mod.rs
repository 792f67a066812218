//! What handles at once: one message, or one batch of them.

mod batch;
mod calling;
mod hand;

pub(crate) use batch::BatchLane;

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use broker_core::broker::Delivery;

use super::key::KeyMark;
use super::settling::What;
use super::slot::{Answer, Call};
use super::wiring::Wiring;
use crate::handler::{BoxError, Outcome};
use crate::retry::Budget;
use crate::subscriber::AckPolicy;
use hand::{Hand, Next, Timer};

/// One message at a time: handled, judged, settled.
pub(crate) struct Lane {
    calls: Vec<Box<dyn Call>>,
    /// Empty while a message is looked at within its batch.
    hand: Hand,
    state: State,
    route: usize,
    /// What must not overlap with it.
    pub(crate) mark: Option<KeyMark>,
    /// Messages of the same key that wait for this one.
    pub(crate) backlog: VecDeque<Delivery>,
    timer: Timer,
    /// Whether the timer runs for the call in flight.
    timed: bool,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Handling,
    /// It does what the answer asks for, or waits for what comes before the call.
    Concluding,
}

impl Lane {
    pub(crate) fn new(calls: Vec<Box<dyn Call>>, waker: Waker) -> Self {
        Self {
            calls,
            hand: Hand::new(waker.clone()),
            state: State::Idle,
            route: 0,
            mark: None,
            backlog: VecDeque::new(),
            timer: Timer::default(),
            timed: false,
            waker,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The deliveries in hand, those that wait for their key included.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.hand.delivery().into_iter().chain(&self.backlog)
    }

    /// Whether a delivery may be tried as a view first: where nothing has to happen before its handler is called.
    #[inline]
    pub(crate) fn tries_views(wiring: &Wiring) -> bool {
        matches!(wiring.ack, AckPolicy::OnSuccess | AckPolicy::Each)
    }

    /// Takes over the delivery whose view is being handled, or was at once.
    pub(crate) fn take_over(
        &mut self,
        delivery: Delivery,
        mark: Option<KeyMark>,
        answer: Answer,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        self.hand.take(delivery);
        self.mark = mark;
        self.state = State::Handling;
        match answer {
            Poll::Ready(answer) => self.judge(answer, wiring, budget),
            // Its waker is there already: nobody has to ask it again, but for the time it may take.
            Poll::Pending => match self.poll_timeout(wiring) {
                Poll::Ready(error) => self.judge(Err(error), wiring, budget),
                Poll::Pending => return,
            },
        }
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
        self.begin(delivery, mark, wiring);
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
                    self.begin(next, self.mark, wiring);
                }
                State::Handling => match self.poll_call() {
                    Poll::Ready(answer) => self.judge(answer, wiring, budget),
                    Poll::Pending => match self.poll_timeout(wiring) {
                        Poll::Ready(error) => self.judge(Err(error), wiring, budget),
                        Poll::Pending => return,
                    },
                },
                State::Concluding => match self.hand.poll(wiring) {
                    Poll::Ready(Next::Free) => self.state = State::Idle,
                    Poll::Ready(Next::Handle) => self.call(wiring, budget),
                    Poll::Pending => return,
                },
            }
        }
    }

    /// Drops the call in flight; answers the delivery that was in hand.
    pub(crate) fn abort(&mut self) -> Option<Delivery> {
        for call in &mut self.calls {
            call.abandon();
        }
        self.state = State::Idle;
        self.mark = None;
        self.hand.give()
    }

    fn begin(&mut self, delivery: Delivery, mark: Option<KeyMark>, wiring: &Wiring) {
        self.mark = mark;
        // What comes before the call is done first.
        self.state = State::Concluding;
        let route = wiring.route(&delivery);
        self.hand.take(delivery);
        match route {
            Some(route) => {
                self.route = route;
                self.hand.acks_first(wiring);
            }
            None => {
                wiring.tally.skipped.add(1);
                self.hand.settle(What::Ack, wiring);
            }
        }
    }

    fn judge(&mut self, answer: Result<Outcome, BoxError>, wiring: &Wiring, budget: &mut Budget) {
        self.state = State::Concluding;
        self.hand.judge(answer, self.route, wiring, budget);
    }
}
