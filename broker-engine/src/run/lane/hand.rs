//! One delivery in hand, from its handler's answer until it is settled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Message, Settled};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::handler::{BoxError, Outcome, Outgoing, Undecodable, cause};
use crate::layers::Current;
use crate::retry::Budget;
use crate::rpc;
use crate::run::fault::{Panicked, TimedOut};
use crate::run::job::{Job, job};
use crate::run::settling::{Settlement, What, settle};
use crate::run::verdict::{Verdict, judge};
use crate::run::wiring::Wiring;
use crate::subscriber::AckPolicy;

/// One delivery in hand, from its handler's answer until it is settled.
pub(crate) struct Hand {
    delivery: Option<Delivery>,
    state: State,
    /// Calls of the handler beyond the broker's own count: on a broker that takes no refusals, the lane itself tries
    /// again.
    retries: u32,
    settling: Box<dyn Job<Settlement, Option<Settled>>>,
    rest: Timer,
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has to be done with it, or its handler is not through.
    Still,
    /// The ack goes out before the handler is called.
    AckingFirst,
    Settling,
    /// It rests before it is handled again.
    Resting,
}

/// What comes after a delivery was concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The hand is empty.
    Free,
    /// The delivery in hand is to be handled, for the first time or again.
    Handle,
}

impl Hand {
    /// An empty one; whatever it waits for wakes `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            delivery: None,
            state: State::Still,
            retries: 0,
            settling: job(settle),
            rest: Timer::default(),
            waker,
        }
    }

    /// Takes a delivery.
    pub(crate) fn take(&mut self, delivery: Delivery) {
        self.delivery = Some(delivery);
        self.state = State::Still;
        self.retries = 0;
    }

    /// The delivery in hand.
    pub(crate) fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_ref()
    }

    /// Lets the delivery go as it is.
    pub(crate) fn give(&mut self) -> Option<Delivery> {
        self.state = State::Still;
        self.delivery.take()
    }

    /// Acks before the handler is called, where that is asked for; answers whether that has to be waited for.
    pub(crate) fn acks_first(&mut self, wiring: &Wiring) -> bool {
        let first = wiring.ack == AckPolicy::First && wiring.strategy.acknowledges;
        if first {
            self.settle(What::Ack, wiring);
            self.state = State::AckingFirst;
        }
        first
    }

    /// Begins to do what the handler's answer asks for.
    pub(crate) fn judge(
        &mut self,
        answer: Result<Outcome, BoxError>,
        route: usize,
        wiring: &Wiring,
        budget: &mut Budget,
    ) {
        if let Err(error) = &answer {
            count_error(error, wiring);
        }
        let Some(route) = wiring.routes.get(route) else {
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
                    self.rest.set(delay);
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

    /// Settles it as nobody's, or as done.
    pub(crate) fn settle(&mut self, what: What, wiring: &Wiring) {
        self.settle_after(Vec::new(), what, wiring);
    }

    /// Goes on with what the answer asked for.
    pub(crate) fn poll(&mut self, wiring: &Wiring) -> Poll<Next> {
        let mut context = Context::from_waker(&self.waker);
        match self.state {
            State::Still => {}
            State::Resting => {
                std::task::ready!(self.rest.poll(&mut context));
                self.state = State::Still;
            }
            State::AckingFirst => {
                std::task::ready!(self.settling.poll(&mut context));
                self.state = State::Still;
            }
            State::Settling => {
                let settled = std::task::ready!(self.settling.poll(&mut context));
                if settled == Some(Settled::Stale) {
                    tracing::debug!(stream = %wiring.context.stream(), group = %wiring.context.group(), "a lease ended before its message was settled");
                }
                self.delivery = None;
                self.state = State::Still;
            }
        }
        Poll::Ready(match self.delivery {
            Some(_) => Next::Handle,
            None => Next::Free,
        })
    }

    fn done(&mut self, wiring: &Wiring) {
        wiring.tally.handled.add(1);
        match wiring.ack {
            AckPolicy::OnSuccess => {
                if let Some(delivery) = self.delivery.take() {
                    delivery.ack_later();
                }
            }
            AckPolicy::Each => self.settle(What::Ack, wiring),
            AckPolicy::First | AckPolicy::Manual => self.delivery = None,
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

    fn settle_after(&mut self, before: Vec<Outgoing>, what: What, wiring: &Wiring) {
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
}

fn count_error(error: &BoxError, wiring: &Wiring) {
    let (tally, cause) = (&wiring.tally, cause(error));
    if cause.is::<Panicked>() {
        tally.panics.add(1);
    } else if cause.is::<TimedOut>() {
        tally.timeouts.add(1);
    } else if cause.is::<Undecodable>() {
        tally.undecodable.add(1);
    }
}

/// A timer that is made when it is first needed, and used again.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Lets it end after so long.
    pub(super) fn set(&mut self, after: Duration) {
        let until = Instant::now() + after;
        match &mut self.0 {
            Some(timer) => timer.as_mut().reset(until),
            None => self.0 = Some(Box::pin(sleep_until(until))),
        }
    }

    /// Waits for its end.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }
}
