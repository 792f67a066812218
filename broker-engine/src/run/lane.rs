//! One message at a time: handled, judged, settled.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Message, Settled};
use tokio::time::{Instant, Sleep, sleep_until};

use super::fault::{Panicked, TimedOut};
use super::job::{Job, job};
use super::key::KeyMark;
use super::settling::{Settlement, What, settle};
use super::slot::Call;
use super::verdict::{Verdict, judge};
use super::wiring::Wiring;
use crate::handler::{BoxError, Outcome, Outgoing, Undecodable};
use crate::incoming::Incoming;
use crate::layers::Current;
use crate::retry::Budget;
use crate::rpc;
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
    pub(crate) fn try_view(&mut self, view: Delivery, wiring: &Wiring) -> Option<Result<Outcome, BoxError>> {
        let Some(route) = wiring.route(&view) else {
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

    /// Calls the handler; what it answers at once is the answer.
    #[inline]
    fn call(&mut self, view: Delivery, wiring: &Wiring) -> Poll<Result<Outcome, BoxError>> {
        wiring.tally.started.add(1);
        self.timed = false;
        let incoming = Incoming {
            delivery: view,
            context: wiring.context.clone(),
        };
        self.guarded(|call, context| call.start(incoming, context))
    }

    fn call_again(&mut self, wiring: &Wiring, budget: &mut Budget) {
        if let Some(view) = self.delivery.as_ref().map(Delivery::view) {
            self.call_with(view, wiring, budget);
        }
    }

    /// Calls the handler for the delivery in hand; it is judged at once, or goes on later.
    fn call_with(&mut self, view: Delivery, wiring: &Wiring, budget: &mut Budget) {
        self.state = State::Handling;
        if let Poll::Ready(answer) = self.call(view, wiring) {
            self.judge(answer, wiring, budget);
        }
    }

    fn poll_call(&mut self) -> Poll<Result<Outcome, BoxError>> {
        self.guarded(|call, context| call.poll(context))
    }

    /// Lets the handler go on; a panic is an answer too.
    #[inline]
    fn guarded(
        &mut self,
        step: impl FnOnce(&mut dyn Call, &mut Context<'_>) -> Poll<Result<Outcome, BoxError>>,
    ) -> Poll<Result<Outcome, BoxError>> {
        let Some(call) = self.calls.get_mut(self.route) else {
            return Poll::Ready(Ok(Outcome::Skip));
        };
        let mut context = Context::from_waker(&self.waker);
        match catch_unwind(AssertUnwindSafe(|| step(&mut **call, &mut context))) {
            Ok(answer) => answer,
            Err(panic) => {
                call.abandon();
                Poll::Ready(Err(Box::new(Panicked::of(&*panic))))
            }
        }
    }

    fn poll_timeout(&mut self, wiring: &Wiring) -> Poll<BoxError> {
        let Some(timeout) = wiring.routes.get(self.route).and_then(|route| route.timeout) else {
            return Poll::Pending;
        };
        if !std::mem::replace(&mut self.timed, true) {
            self.set_timer(timeout);
        }
        std::task::ready!(self.poll_timer());
        if let Some(call) = self.calls.get_mut(self.route) {
            call.abandon();
        }
        Poll::Ready(Box::new(TimedOut(timeout)))
    }

    fn set_timer(&mut self, after: Duration) {
        let until = Instant::now() + after;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(until),
            None => self.timer = Some(Box::pin(sleep_until(until))),
        }
    }

    fn poll_timer(&mut self) -> Poll<()> {
        let mut context = Context::from_waker(&self.waker);
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(&mut context),
            None => Poll::Ready(()),
        }
    }

    fn poll_settling(&mut self) -> Poll<Option<Settled>> {
        let mut context = Context::from_waker(&self.waker);
        self.settling.poll(&mut context)
    }

    fn judge(&mut self, answer: Result<Outcome, BoxError>, wiring: &Wiring, budget: &mut Budget) {
        if let Err(error) = &answer {
            count_error(error, wiring);
        }
        let Some(route) = wiring.routes.get(self.route) else {
            return self.settle(What::Ack, wiring);
        };
        let before = self.delivery.as_ref().map_or(1, Delivery::attempt);
        let attempt = before.saturating_add(self.retries);
        match judge(answer, attempt, route) {
            Verdict::Done => self.done(wiring),
            Verdict::Skipped => {
                wiring.tally.skipped.add(1);
                self.settle(What::Ack, wiring);
            }
            Verdict::Publish(messages) => self.publish(messages, wiring),
            Verdict::Reply(answer) => {
                let answer = self.answer(*answer);
                self.publish(answer, wiring);
            }
            _ if wiring.ack == AckPolicy::First => {
                // It is settled already: what fails now is lost, as this policy says.
                wiring.tally.dead.add(1);
                self.state = State::Idle;
                self.delivery = None;
            }
            Verdict::Again { delay, failure } => {
                wiring.tally.retried.add(1);
                let delay = budget.reserve(delay);
                if wiring.strategy.rejects {
                    self.settle(
                        What::Nack(NackOptions::new().reason(failure).delay(delay)),
                        wiring,
                    );
                } else {
                    self.retries = self.retries.saturating_add(1);
                    self.set_timer(delay);
                    self.state = State::Resting;
                }
            }
            Verdict::Dead { failure, status } => {
                wiring.tally.dead.add(1);
                tracing::warn!(
                    stream = %wiring.context.stream(), group = %wiring.context.group(), attempt,
                    reason = %failure.reason, "a message is given up"
                );
                let answer = self.answer(rpc::failed(status, &failure.reason));
                let what = match &wiring.strategy.dead_stream {
                    Some(stream) => What::Bury {
                        stream: stream.clone(),
                        failure,
                    },
                    None if wiring.strategy.rejects => {
                        What::Nack(NackOptions::new().reason(failure).dead_letter())
                    }
                    None => What::Ack,
                };
                self.settle_after(answer, what, wiring);
            }
        }
    }

    fn done(&mut self, wiring: &Wiring) {
        wiring.tally.handled.add(1);
        match wiring.ack {
            AckPolicy::OnSuccess => {
                if let Some(delivery) = self.delivery.take() {
                    delivery.ack_later();
                }
                self.state = State::Idle;
            }
            AckPolicy::Each => self.settle(What::Ack, wiring),
            AckPolicy::First | AckPolicy::Manual => {
                self.delivery = None;
                self.state = State::Idle;
            }
        }
    }

    /// The answer to the message in hand, where that is a request.
    fn answer(&self, answer: Message) -> Vec<Outgoing> {
        let addressed = self
            .delivery
            .as_ref()
            .and_then(|request| rpc::addressed(request, answer));
        addressed.into_iter().collect()
    }

    /// Publishes what follows from the message in hand, and then settles that.
    fn publish(&mut self, mut messages: Vec<Outgoing>, wiring: &Wiring) {
        wiring.tally.handled.add(1);
        if let Some(delivery) = &self.delivery {
            let current = Current::of(delivery);
            for outgoing in &mut messages {
                let message = std::mem::take(&mut outgoing.message);
                outgoing.message = current.follow(message);
            }
        }
        self.settle_after(messages, What::Ack, wiring);
    }

    fn settle(&mut self, what: What, wiring: &Wiring) {
        self.settle_after(Vec::new(), what, wiring);
    }

    fn settle_after(&mut self, before: Vec<Outgoing>, what: What, wiring: &Wiring) {
        self.state = State::Idle;
        let Some(delivery) = &self.delivery else {
            return;
        };
        if matches!(what, What::Ack) && before.is_empty() && !wiring.strategy.acknowledges {
            self.delivery = None;
            return;
        }
        self.settling.start(Settlement {
            delivery: delivery.view(),
            before,
            what,
            context: wiring.context.clone(),
            tally: Arc::clone(&wiring.tally),
        });
        self.state = State::Settling;
    }

    fn finish(&mut self, settled: Option<Settled>, wiring: &Wiring) {
        if settled == Some(Settled::Stale) {
            tracing::debug!(stream = %wiring.context.stream(), group = %wiring.context.group(), "a lease ended before its message was settled");
        }
        self.delivery = None;
        self.state = State::Idle;
    }
}

fn count_error(error: &BoxError, wiring: &Wiring) {
    let tally = &wiring.tally;
    if error.is::<Panicked>() {
        tally.panics.add(1);
    } else if error.is::<TimedOut>() {
        tally.timeouts.add(1);
    } else if error.is::<Undecodable>() {
        tally.undecodable.add(1);
    }
}
