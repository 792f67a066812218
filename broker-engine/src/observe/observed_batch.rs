//! A lane's call with a batch that somebody is told of.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::observer::{Ended, Observer};
use crate::handler::{BoxError, IncomingBatch, Outcomes};
use crate::run::BatchCall;

/// A call with a batch that somebody is told of: each message is a handling.
pub(super) struct ObservedBatch {
    call: Box<dyn BatchCall>,
    observer: Arc<dyn Observer>,
    /// The handlings in flight, and since when.
    under_way: Option<(Vec<u64>, Instant)>,
}

impl ObservedBatch {
    pub(super) fn new(call: Box<dyn BatchCall>, observer: Arc<dyn Observer>) -> Self {
        Self {
            call,
            observer,
            under_way: None,
        }
    }

    fn look(&mut self, answer: Poll<Result<Outcomes, BoxError>>) -> Poll<Result<Outcomes, BoxError>> {
        if let Poll::Ready(answer) = &answer {
            self.end(answer.as_ref());
        }
        answer
    }

    fn end(&mut self, answer: Result<&Outcomes, &BoxError>) {
        let Some((numbers, began)) = self.under_way.take() else {
            return;
        };
        let mut outcomes = answer.ok().into_iter().flat_map(Outcomes::iter);
        for number in numbers {
            let how = match (answer, outcomes.next()) {
                (Err(error), _) | (_, Some(Err(error))) => Ended::Failed(error),
                (_, Some(Ok(outcome))) => Ended::Answered(outcome),
                (_, None) => Ended::CutOff,
            };
            self.observer.ended(number, began.elapsed(), how);
        }
    }
}

impl BatchCall for ObservedBatch {
    fn start(&mut self, batch: IncomingBatch, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        let numbers = batch
            .iter()
            .map(|incoming| self.observer.started(incoming))
            .collect();
        self.under_way = Some((numbers, Instant::now()));
        let answer = self.call.start(batch, context);
        self.look(answer)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        let answer = self.call.poll(context);
        self.look(answer)
    }

    fn abandon(&mut self) {
        self.call.abandon();
        if let Some((numbers, began)) = self.under_way.take() {
            for number in numbers {
                self.observer.ended(number, began.elapsed(), Ended::CutOff);
            }
        }
    }
}
