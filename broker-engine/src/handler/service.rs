//! A handler as a tower service.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{BoxError, Handler, IntoOutcome, Outcome};
use crate::incoming::Incoming;

/// A [`Handler`] as a tower service of [`Incoming`] messages.
pub struct HandlerService<H, Args> {
    handler: H,
    args: PhantomData<fn() -> Args>,
}

impl<H, Args> HandlerService<H, Args> {
    /// Makes a service of a handler.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            args: PhantomData,
        }
    }
}

impl<H: Clone, Args> Clone for HandlerService<H, Args> {
    fn clone(&self) -> Self {
        Self::new(self.handler.clone())
    }
}

pin_project! {
    /// The future of a [`HandlerService`].
    pub struct HandlerFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Step]
    enum State<F> {
        Running { #[pin] handling: F },
        // It was not called: the message has not what it takes.
        Refused { error: Option<BoxError> },
    }
}

impl<F> Future for HandlerFuture<F>
where
    F: Future,
    F::Output: IntoOutcome,
{
    type Output = Result<Outcome, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Step::Running { handling } => handling.poll(context).map(IntoOutcome::into_outcome),
            Step::Refused { error } => Poll::Ready(match error.take() {
                Some(error) => Err(error),
                None => Ok(Outcome::Skip),
            }),
        }
    }
}

impl<Args, H: Handler<Args>> Service<Incoming> for HandlerService<H, Args> {
    type Response = Outcome;
    type Error = BoxError;
    type Future = HandlerFuture<H::Future>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let state = match self.handler.handle(&incoming) {
            Ok(handling) => State::Running { handling },
            Err(error) => State::Refused { error: Some(error) },
        };
        HandlerFuture { state }
    }
}
