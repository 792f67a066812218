//! One batch at a time: gathered, handled together, judged and settled one by one.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_core::broker::Delivery;

use super::hand::{Hand, Timer};
use crate::handler::{BoxError, IncomingBatch, Outcomes};
use crate::incoming::Incoming;
use crate::retry::Budget;
use crate::run::fault::{Panicked, TimedOut};
use crate::run::key::KeyMark;
use crate::run::slot::{BatchCall, Batching};
use crate::run::wiring::Wiring;

/// One batch at a time: gathered, handled together, judged and settled one by one.
pub(crate) struct BatchLane {
    call: Box<dyn BatchCall>,
    batching: Batching,
    state: State,
    /// What is gathered, or handled, or concluded.
    hands: Vec<Hand>,
    /// Empty ones.
    spare: Vec<Hand>,
    /// The keys of all that is here.
    marks: HashSet<KeyMark>,
    /// Messages of these keys that wait for the next batch.
    backlog: VecDeque<Delivery>,
    /// While gathering, how long that may take; while handling, how long the handler may.
    timer: Timer,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Gathering,
    /// The acks go out before the handler is called.
    AckingFirst,
    Handling,
    /// Each message's own outcome is seen to.
    Concluding,
}

impl BatchLane {
    pub(crate) fn new(call: Box<dyn BatchCall>, batching: Batching, waker: Waker) -> Self {
        Self {
            call,
            batching,
            state: State::Gathering,
            hands: Vec::new(),
            spare: Vec::new(),
            marks: HashSet::new(),
            backlog: VecDeque::new(),
            timer: Timer::default(),
            waker,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Gathering && self.hands.is_empty() && self.backlog.is_empty()
    }

    /// Whether it has begun to gather, and has room for more.
    pub(crate) fn is_open(&self) -> bool {
        self.gathers() && !self.hands.is_empty()
    }

    /// Whether messages of this key are here.
    pub(crate) fn has(&self, mark: KeyMark) -> bool {
        self.marks.contains(&mark)
    }

    /// The deliveries in hand, those that wait for their key included.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.hands.iter().filter_map(Hand::delivery).chain(&self.backlog)
    }

    /// Takes a message: into the batch that is gathered, or to wait for the next one.
    pub(crate) fn push(
        &mut self,
        delivery: Delivery,
        mark: Option<KeyMark>,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        self.marks.extend(mark);
        if !self.gathers() {
            self.backlog.push_back(delivery);
            return;
        }
        self.gather(delivery);
        if self.hands.len() >= self.batching.size {
            self.go_on(wiring, budget);
        }
    }

    /// Nothing more is there for now: a batch that does not linger begins; any does where none are `to_come`.
    pub(crate) fn pause(&mut self, to_come: bool, wiring: &Wiring, budget: &mut Budget) {
        if self.state != State::Gathering || self.hands.is_empty() {
            return;
        }
        if !to_come || self.batching.linger.is_zero() {
            self.begin(wiring);
        }
        // One that lingers has its timer asked, which then wakes the lane.
        self.go_on(wiring, budget);
    }

    /// Goes on as far as that needs no waiting.
    pub(crate) fn go_on(&mut self, wiring: &Wiring, budget: &mut Budget) {
        loop {
            match self.state {
                State::Gathering => {
                    while self.hands.len() < self.batching.size
                        && let Some(next) = self.backlog.pop_front()
                    {
                        self.gather(next);
                    }
                    if self.hands.len() < self.batching.size && !self.has_lingered() {
                        return;
                    }
                    self.begin(wiring);
                }
                State::AckingFirst => {
                    if self.conclude(wiring) {
                        return;
                    }
                    self.start(wiring, budget);
                }
                State::Handling => match self.poll_call(wiring) {
                    Poll::Ready(answers) => self.judge(answers, wiring, budget),
                    Poll::Pending => return,
                },
                State::Concluding => {
                    if self.conclude(wiring) {
                        return;
                    }
                    self.state = State::Gathering;
                    self.forget_keys(wiring);
                    if !self.hands.is_empty() {
                        // They rested long enough, and are the first of the next batch.
                        self.linger();
                    }
                }
            }
        }
    }

    /// Takes out what was not handed to the handler.
    pub(crate) fn take_waiting(&mut self) -> Vec<Delivery> {
        let mut waiting = Vec::new();
        if self.state == State::Gathering {
            waiting.extend(self.hands.iter_mut().filter_map(Hand::give));
            self.spare.append(&mut self.hands);
            self.marks.clear();
        }
        waiting.extend(self.backlog.drain(..));
        waiting
    }

    /// Drops the call in flight; answers the deliveries that were in hand.
    pub(crate) fn abort(&mut self) -> Vec<Delivery> {
        self.call.abandon();
        self.state = State::Gathering;
        self.marks.clear();
        let cut_off = self.hands.iter_mut().filter_map(Hand::give).collect();
        self.spare.append(&mut self.hands);
        cut_off
    }

    fn gathers(&self) -> bool {
        self.state == State::Gathering && self.backlog.is_empty() && self.hands.len() < self.batching.size
    }

    fn gather(&mut self, delivery: Delivery) {
        if self.hands.is_empty() {
            self.linger();
        }
        let mut hand = self.spare.pop().unwrap_or_else(|| Hand::new(self.waker.clone()));
        hand.take(delivery);
        self.hands.push(hand);
    }

    fn linger(&mut self) {
        if !self.batching.linger.is_zero() {
            self.timer.set(self.batching.linger);
        }
    }

    /// Whether the batch that is gathered has waited for company for long enough.
    fn has_lingered(&mut self) -> bool {
        let lingers = !self.hands.is_empty() && !self.batching.linger.is_zero();
        let mut context = Context::from_waker(&self.waker);
        lingers && self.timer.poll(&mut context).is_ready()
    }

    /// Begins to see to what was gathered.
    fn begin(&mut self, wiring: &Wiring) {
        for hand in &mut self.hands {
            hand.acks_first(wiring);
        }
        self.state = State::AckingFirst;
    }

    fn start(&mut self, wiring: &Wiring, budget: &mut Budget) {
        let views = self.hands.iter().filter_map(Hand::delivery);
        let batch: Vec<_> = views
            .map(|delivery| Incoming::new(delivery.view(), wiring.context.clone()))
            .collect();
        wiring.tally.started.add(batch.len() as u64);
        self.state = State::Handling;
        if let Some(timeout) = self.timeout(wiring) {
            self.timer.set(timeout);
        }
        let batch = IncomingBatch::new(batch);
        let mut context = Context::from_waker(&self.waker);
        let call = &mut self.call;
        let answer = catch_unwind(AssertUnwindSafe(|| call.start(batch, &mut context)));
        if let Poll::Ready(answers) = self.guard(answer) {
            self.judge(answers, wiring, budget);
        }
    }

    fn poll_call(&mut self, wiring: &Wiring) -> Poll<Result<Outcomes, BoxError>> {
        let mut context = Context::from_waker(&self.waker);
        let call = &mut self.call;
        let answer = catch_unwind(AssertUnwindSafe(|| call.poll(&mut context)));
        if let Poll::Ready(answers) = self.guard(answer) {
            return Poll::Ready(answers);
        }
        let Some(timeout) = self.timeout(wiring) else {
            return Poll::Pending;
        };
        std::task::ready!(self.timer.poll(&mut Context::from_waker(&self.waker)));
        self.call.abandon();
        Poll::Ready(Err(Box::new(TimedOut(timeout))))
    }

    /// What the handler said; a panic is an answer too.
    fn guard(
        &mut self,
        answer: std::thread::Result<Poll<Result<Outcomes, BoxError>>>,
    ) -> Poll<Result<Outcomes, BoxError>> {
        answer.unwrap_or_else(|panic| {
            self.call.abandon();
            Poll::Ready(Err(Panicked::of(&*panic).into()))
        })
    }

    fn timeout(&self, wiring: &Wiring) -> Option<Duration> {
        wiring.routes.first().and_then(|route| route.timeout)
    }

    /// Sees to each message's own outcome.
    fn judge(&mut self, answers: Result<Outcomes, BoxError>, wiring: &Wiring, budget: &mut Budget) {
        self.state = State::Concluding;
        let answers = Outcomes::each(answers, self.hands.len());
        for (hand, answer) in self.hands.iter_mut().zip(answers) {
            hand.judge(answer, 0, wiring, budget);
        }
    }

    /// Goes on with the messages in hand, and lets go of those that are settled; answers whether any is waited for.
    fn conclude(&mut self, wiring: &Wiring) -> bool {
        let mut waits = false;
        for hand in &mut self.hands {
            waits |= hand.poll(wiring).is_pending();
        }
        if !waits {
            self.spare
                .extend(self.hands.extract_if(.., |hand| hand.delivery().is_none()));
        }
        waits
    }

    /// Forgets the keys of which nothing is here any more.
    fn forget_keys(&mut self, wiring: &Wiring) {
        let kept_apart = !self.marks.is_empty();
        self.marks.clear();
        if kept_apart {
            let left = self.hands.iter().filter_map(Hand::delivery).chain(&self.backlog);
            self.marks
                .extend(left.filter_map(|delivery| wiring.mark(delivery)));
        }
    }
}
