//! Calling a lane's handler, and waiting for what it waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use broker_core::Settled;
use broker_core::broker::Delivery;
use tokio::time::{Instant, sleep_until};

use super::{Lane, State};
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;
use crate::retry::Budget;
use crate::run::fault::{Panicked, TimedOut};
use crate::run::slot::Call;
use crate::run::wiring::Wiring;

impl Lane {
    /// Calls the handler; what it answers at once is the answer.
    #[inline]
    pub(super) fn call(&mut self, incoming: Incoming, wiring: &Wiring) -> Poll<Result<Outcome, BoxError>> {
        wiring.tally.started.add(1);
        self.timed = false;
        self.guarded(|call, context| call.start(incoming, context))
    }

    pub(super) fn call_again(&mut self, wiring: &Wiring, budget: &mut Budget) {
        if let Some(view) = self.delivery.as_ref().map(Delivery::view) {
            self.call_with(view, wiring, budget);
        }
    }

    /// Calls the handler for the delivery in hand; it is judged at once, or goes on later.
    pub(super) fn call_with(&mut self, view: Delivery, wiring: &Wiring, budget: &mut Budget) {
        self.state = State::Handling;
        let incoming = Incoming::new(view, wiring.context.clone());
        if let Poll::Ready(answer) = self.call(incoming, wiring) {
            self.judge(answer, wiring, budget);
        }
    }

    pub(super) fn poll_call(&mut self) -> Poll<Result<Outcome, BoxError>> {
        self.guarded(|call, context| call.poll(context))
    }

    /// Lets the handler go on; a panic is an answer too.
    #[inline]
    pub(super) fn guarded(
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

    pub(super) fn poll_timeout(&mut self, wiring: &Wiring) -> Poll<BoxError> {
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

    pub(super) fn set_timer(&mut self, after: Duration) {
        let until = Instant::now() + after;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(until),
            None => self.timer = Some(Box::pin(sleep_until(until))),
        }
    }

    pub(super) fn poll_timer(&mut self) -> Poll<()> {
        let mut context = Context::from_waker(&self.waker);
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(&mut context),
            None => Poll::Ready(()),
        }
    }

    pub(super) fn poll_settling(&mut self) -> Poll<Option<Settled>> {
        let mut context = Context::from_waker(&self.waker);
        self.settling.poll(&mut context)
    }
}
