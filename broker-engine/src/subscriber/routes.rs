//! From a message's kind to its handler.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
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

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

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
    type Future = Either<S::Future, Boxing<R::Future, R::Error>>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Which of the two is asked next is not known yet.
        std::task::ready!(self.service.poll_ready(context))?;
        self.rest.poll_ready(context).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        if incoming.delivery.message_kind() == Some(&*self.kind) {
            Either::Left(self.service.call(incoming))
        } else {
            Either::Right(boxing(self.rest.call(incoming)))
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
    type Future = Either<Boxing<S::Future, S::Error>, R::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.service.poll_ready(context)).map_err(Into::into)?;
        self.rest.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let has_its_own = !self.kinds.is_empty()
            && incoming
                .delivery
                .message_kind()
                .is_some_and(|kind| self.kinds.iter().any(|known| **known == *kind));
        if has_its_own {
            Either::Left(boxing(self.service.call(incoming)))
        } else {
            Either::Right(self.rest.call(incoming))
        }
    }
}

/// A service's future whose error is boxed.
pub(crate) type Boxing<F, E> =
    futures_util::future::Map<F, fn(Result<Outcome, E>) -> Result<Outcome, BoxError>>;

#[inline]
fn boxing<F, E>(future: F) -> Boxing<F, E>
where
    F: Future<Output = Result<Outcome, E>>,
    E: Into<BoxError>,
{
    futures_util::FutureExt::map(future, |answer| answer.map_err(Into::into))
}
