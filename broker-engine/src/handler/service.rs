//! A handler as a tower service.

use std::marker::PhantomData;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{Either, Map, Ready, ready};
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

/// The future of a [`HandlerService`].
pub type HandlerFuture<F, O> =
    Either<Map<F, fn(O) -> Result<Outcome, BoxError>>, Ready<Result<Outcome, BoxError>>>;

impl<Args, H: Handler<Args>> Service<Incoming> for HandlerService<H, Args> {
    type Response = Outcome;
    type Error = BoxError;
    type Future = HandlerFuture<H::Future, H::Output>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        match self.handler.handle(&incoming) {
            Ok(handling) => Either::Left(handling.map(H::Output::into_outcome as fn(_) -> _)),
            Err(error) => Either::Right(ready(Err(error))),
        }
    }
}
