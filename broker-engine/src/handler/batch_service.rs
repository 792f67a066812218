//! A handler of batches as a tower service.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{BatchHandler, BoxError, IncomingBatch, IntoOutcomes, Outcome, Outcomes};

/// A [`BatchHandler`] as a tower service of [`IncomingBatch`]es.
pub struct BatchHandlerService<H, Args> {
    handler: H,
    args: PhantomData<fn() -> Args>,
}

impl<H, Args> BatchHandlerService<H, Args> {
    /// Makes a service of a handler.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            args: PhantomData,
        }
    }
}

impl<H: Clone, Args> Clone for BatchHandlerService<H, Args> {
    fn clone(&self) -> Self {
        Self::new(self.handler.clone())
    }
}

pin_project! {
    /// The future of a [`BatchHandlerService`].
    pub struct BatchHandlerFuture<F> {
        #[pin]
        future: Option<F>,
        // Of each message, why it was left out, if it was.
        left_out: Vec<Option<BoxError>>,
        // Why the handler could not be called.
        refused: Option<BoxError>,
    }
}

impl<F> Future for BatchHandlerFuture<F>
where
    F: Future,
    F::Output: IntoOutcomes,
{
    type Output = Result<Outcomes, BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Err(error));
        }
        let handled = this.left_out.iter().filter(|left_out| left_out.is_none()).count();
        let outcomes = match this.future.as_pin_mut() {
            Some(future) => {
                let answer = std::task::ready!(future.poll(context));
                match answer.into_outcomes(handled) {
                    Ok(outcomes) => outcomes,
                    // Those that were left out have a reason of their own.
                    Err(error) => Outcomes::failed(error, handled),
                }
            }
            None => Outcomes::default(),
        };
        let mut outcomes = outcomes.into_iter();
        let all = this.left_out.drain(..).map(|left_out| match left_out {
            Some(error) => Err(error),
            None => outcomes.next().unwrap_or(Ok(Outcome::Skip)),
        });
        Poll::Ready(Ok(all.collect()))
    }
}

impl<Args, H: BatchHandler<Args>> Service<IncomingBatch> for BatchHandlerService<H, Args> {
    type Response = Outcomes;
    type Error = BoxError;
    type Future = BatchHandlerFuture<H::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: IncomingBatch) -> Self::Future {
        match self.handler.handle(batch) {
            Ok(called) => BatchHandlerFuture {
                future: called.future,
                left_out: called.left_out,
                refused: None,
            },
            Err(error) => BatchHandlerFuture {
                future: None,
                left_out: Vec::new(),
                refused: Some(error),
            },
        }
    }
}
