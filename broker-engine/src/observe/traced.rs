//! A lane's call within a span.

use std::task::{Context, Poll};

use tracing::Span;

use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes};
use crate::incoming::Incoming;
use crate::layers::sealed::Answer;
use crate::layers::span;
use crate::run::{BatchCall, Call};

/// A call within a span of its own.
pub(super) struct Traced<C: ?Sized> {
    /// The handling in flight.
    span: Span,
    call: Box<C>,
}

impl<C: ?Sized> Traced<C> {
    pub(super) fn new(call: Box<C>) -> Self {
        Self {
            span: Span::none(),
            call,
        }
    }

    fn step<A: Answer>(
        &mut self,
        step: impl FnOnce(&mut C) -> Poll<Result<A, BoxError>>,
    ) -> Poll<Result<A, BoxError>> {
        let call = &mut *self.call;
        let mut answer = self.span.in_scope(|| step(call));
        if let Poll::Ready(answer) = &mut answer {
            span::end(answer, &std::mem::replace(&mut self.span, Span::none()));
        }
        answer
    }
}

impl Call for Traced<dyn Call> {
    fn start(&mut self, incoming: Incoming, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        self.span = span::begin(&incoming);
        self.step(|call| call.start(incoming, context))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcome, BoxError>> {
        self.step(|call| call.poll(context))
    }

    fn abandon(&mut self) {
        self.call.abandon();
        self.span = Span::none();
    }
}

impl BatchCall for Traced<dyn BatchCall> {
    fn start(&mut self, batch: IncomingBatch, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        self.span = span::begin(&batch);
        self.step(|call| call.start(batch, context))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Outcomes, BoxError>> {
        self.step(|call| call.poll(context))
    }

    fn abandon(&mut self) {
        self.call.abandon();
        self.span = Span::none();
    }
}
