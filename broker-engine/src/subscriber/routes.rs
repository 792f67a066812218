//! From a message's kind to its handler.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Ready, ready};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// Messages that nobody handles: they are skipped, and counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRoute;

impl Service<Incoming> for NoRoute {
    type Response = Outcome;
    type Error = Infallible;
    type Future = Ready<Result<Outcome, Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _: Incoming) -> Self::Future {
        ready(Ok(Outcome::Skip))
    }
}

/// Messages of one kind go to a handler, all others to the rest.
#[derive(Clone, Debug)]
pub struct Route<S, R> {
    kind: Arc<str>,
    service: S,
    rest: R,
}

impl<S, R> Route<S, R> {
    pub(super) fn new(kind: Arc<str>, service: S, rest: R) -> Self {
        Self { kind, service, rest }
    }
}

impl<S, R> Service<Incoming> for Route<S, R>
where
    S: Service<Incoming, Response = Outcome, Error = BoxError>,
    R: Service<Incoming, Response = Outcome>,
    R::Error: Into<BoxError>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = RouteFuture<S::Future, R::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Which of the two is asked next is not known yet.
        std::task::ready!(self.service.poll_ready(context))?;
        self.rest.poll_ready(context).map_err(Into::into)
    }

    #[inline(always)]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        if incoming.delivery.message_kind() == Some(&*self.kind) {
            RouteFuture::Routed {
                future: self.service.call(incoming),
            }
        } else {
            RouteFuture::Rest {
                future: self.rest.call(incoming),
            }
        }
    }
}

/// Messages of the kinds that have a handler go there, all others to one for the rest.
#[derive(Clone, Debug)]
pub struct Otherwise<S, R> {
    kinds: Arc<[Arc<str>]>,
    service: S,
    rest: R,
}

impl<S, R> Otherwise<S, R> {
    pub(super) fn new(kinds: Arc<[Arc<str>]>, service: S, rest: R) -> Self {
        Self { kinds, service, rest }
    }
}

impl<S, R> Service<Incoming> for Otherwise<S, R>
where
    S: Service<Incoming, Response = Outcome>,
    S::Error: Into<BoxError>,
    R: Service<Incoming, Response = Outcome, Error = BoxError>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = RouteFuture<R::Future, S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.service.poll_ready(context)).map_err(Into::into)?;
        self.rest.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let has_its_own = !self.kinds.is_empty()
            && incoming
                .delivery
                .message_kind()
                .is_some_and(|kind| self.kinds.iter().any(|known| **known == *kind));
        if has_its_own {
            RouteFuture::Rest {
                future: self.service.call(incoming),
            }
        } else {
            RouteFuture::Routed {
                future: self.rest.call(incoming),
            }
        }
    }
}

pin_project! {
    /// The future of a handler, or of the service that was there before it.
    #[project = Routing]
    pub enum RouteFuture<H, S> {
        #[doc(hidden)]
        Routed { #[pin] future: H },
        #[doc(hidden)]
        Rest { #[pin] future: S },
    }
}

impl<H, S, E> Future for RouteFuture<H, S>
where
    H: Future<Output = Result<Outcome, BoxError>>,
    S: Future<Output = Result<Outcome, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Outcome, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Routing::Routed { future } => future.poll(context),
            Routing::Rest { future } => future.poll(context).map_err(Into::into),
        }
    }
}
