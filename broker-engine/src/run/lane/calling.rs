//! Calling a lane's handler, and waiting for what it waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use super::{Lane, State};
use crate::handler::BoxError;
use crate::incoming::Incoming;
use crate::retry::Budget;
use crate::run::fault::{Panicked, TimedOut};
use crate::run::feed::Feed;
use crate::run::slot::{Answer, Call};
use crate::run::wiring::Wiring;

impl Lane {
    /// Calls the handler for messages that it answers at once; answers what it says to the first that is not done.
    pub(crate) fn feed(&mut self, route: usize, feed: &mut Feed<'_>) -> Option<Answer> {
        self.route = route;
        self.timed = false;
        match self.guarded(|call, context| call.feed(feed, context)) {
            Ok(answer) => answer,
            Err(panic) => Some(Poll::Ready(Err(panic))),
        }
    }

    /// Calls the handler for the delivery in hand; it is judged at once, or goes on later.
    pub(super) fn call(&mut self, wiring: &Wiring, budget: &mut Budget) {
        let Some(delivery) = self.hand.delivery() else {
            return;
        };
        let incoming = Incoming::new(delivery.view(), wiring.context.clone());
        self.state = State::Handling;
        self.timed = false;
        wiring.tally.started.add(1);
        let answer = self.guarded(|call, context| call.start(incoming, context));
        if let Poll::Ready(answer) = answer.unwrap_or_else(|panic| Poll::Ready(Err(panic))) {
            self.judge(answer, wiring, budget);
        }
    }

    pub(super) fn poll_call(&mut self) -> Answer {
        let answer = self.guarded(|call, context| call.poll(context));
        answer.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    }

    pub(super) fn poll_timeout(&mut self, wiring: &Wiring) -> Poll<BoxError> {
        let Some(timeout) = wiring.routes.get(self.route).and_then(|route| route.timeout) else {
            return Poll::Pending;
        };
        if !std::mem::replace(&mut self.timed, true) {
            self.timer.set(timeout);
        }
        std::task::ready!(self.timer.poll(&mut Context::from_waker(&self.waker)));
        if let Some(call) = self.calls.get_mut(self.route) {
            call.abandon();
        }
        Poll::Ready(Box::new(TimedOut(timeout)))
    }

    /// Lets the handler go on; a panic is an answer too.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut dyn Call, &mut Context<'_>) -> T) -> Result<T, BoxError> {
        let Some(call) = self.calls.get_mut(self.route) else {
            return Err("nobody handles this message".into());
        };
        let mut context = Context::from_waker(&self.waker);
        catch_unwind(AssertUnwindSafe(|| step(&mut **call, &mut context))).map_err(|panic| {
            call.abandon();
            Panicked::of(&*panic).into()
        })
    }
}
