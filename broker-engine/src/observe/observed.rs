//! A lane's call that somebody is told of.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::observer::{Ended, Observer};
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;
use crate::run::Call;

/// A call that somebody is told of.
pub(super) struct Observed {
    call: Box<dyn Call>,
    observer: Arc<dyn Observer>,
    /// The handling in flight, and since when.
    under_way: Option<(u64, Instant)>,
}

impl Observed {
    pub(super) fn new(call: Box<dyn Call>, observer: Arc<dyn Observer>) -> Self {
        Self {
            call,
            observer,
            under_way: None,
        }
    }

    fn look(&mut self, answer: Poll<Result<Outcome, BoxError>>) -> Poll<Result<Outcome, BoxError>> {
        if let Poll::Ready(answer) = &answer {
            self.end(match answer {
                Ok(outcome) => Ended::Answered(outcome),
                Err(error) => Ended::Failed(error),
            });
        }
        answer
    }

    fn end(&mut self, how: Ended<'_>) {
        if let Some((number, began)) = self.under_way.take() {
            self.observer.ended(number, began.elapsed(), how);
        }
    }
}

impl Call for Observed {
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        self.under_way = Some((self.observer.started(&incoming), Instant::now()));
        let answer = self.call.start(incoming, context);
        self.look(answer)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        let answer = self.call.poll(context);
        self.look(answer)
    }

    fn abandon(&mut self) {
        self.call.abandon();
        self.end(Ended::CutOff);
    }
}
