//! From a handler's answer to the settled message.

use std::sync::Arc;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Message, Settled};

use super::{Lane, State};
use crate::handler::{BoxError, Outcome, Outgoing, Undecodable};
use crate::layers::Current;
use crate::retry::Budget;
use crate::rpc;
use crate::run::fault::{Panicked, TimedOut};
use crate::run::settling::{Settlement, What};
use crate::run::verdict::{Verdict, judge};
use crate::run::wiring::Wiring;
use crate::subscriber::AckPolicy;

impl Lane {
    pub(super) fn judge(&mut self, answer: Result<Outcome, BoxError>, wiring: &Wiring, budget: &mut Budget) {
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

    pub(super) fn done(&mut self, wiring: &Wiring) {
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
    pub(super) fn answer(&self, answer: Message) -> Vec<Outgoing> {
        let addressed = self
            .delivery
            .as_ref()
            .and_then(|request| rpc::addressed(request, answer));
        addressed.into_iter().collect()
    }

    /// Publishes what follows from the message in hand, and then settles that.
    pub(super) fn publish(&mut self, mut messages: Vec<Outgoing>, wiring: &Wiring) {
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

    pub(super) fn settle(&mut self, what: What, wiring: &Wiring) {
        self.settle_after(Vec::new(), what, wiring);
    }

    pub(super) fn settle_after(&mut self, before: Vec<Outgoing>, what: What, wiring: &Wiring) {
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

    pub(super) fn finish(&mut self, settled: Option<Settled>, wiring: &Wiring) {
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
