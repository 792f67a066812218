//! Looks at a message before its handler does.

use std::sync::Arc;
use std::task::{Context, Poll};

use broker_core::broker::Delivery;
use futures_util::future::{Either, Ready, ready};
use tower_layer::Layer;
use tower_service::Service;

use crate::handler::{BoxError, Outcome, Permanent};
use crate::incoming::Incoming;

/// Looks at a message before its handler does: a filter skips it, a validator refuses it for good.
#[derive(Clone)]
pub struct FilterLayer(Arc<Check>);

type Check = dyn Fn(&Delivery) -> Result<bool, BoxError> + Send + Sync;

impl FilterLayer {
    /// Handles what `keep` is true for; the rest is settled as done, and counted as skipped.
    pub fn keep(keep: impl Fn(&Delivery) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |delivery| Ok(keep(delivery))))
    }

    /// Handles what `validate` has no objection to; the rest goes to the dead letters at once.
    pub fn validate<E: Into<BoxError>>(
        validate: impl Fn(&Delivery) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |delivery| match validate(delivery) {
            Ok(()) => Ok(true),
            Err(error) => Err(Permanent::new(error).into()),
        }))
    }
}

impl std::fmt::Debug for FilterLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for FilterLayer {
    type Service = FilterService<S>;

    fn layer(&self, inner: S) -> FilterService<S> {
        FilterService {
            inner,
            check: self.clone(),
        }
    }
}

/// The service of a [`FilterLayer`].
#[derive(Clone, Debug)]
pub struct FilterService<S> {
    inner: S,
    check: FilterLayer,
}

impl<S> Service<Incoming> for FilterService<S>
where
    S: Service<Incoming, Response = Outcome>,
    S::Error: From<BoxError>,
{
    type Response = Outcome;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Outcome, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, incoming: Incoming) -> Self::Future {
        match (self.check.0)(&incoming.delivery) {
            Ok(true) => Either::Left(self.inner.call(incoming)),
            Ok(false) => Either::Right(ready(Ok(Outcome::Skip))),
            Err(error) => Either::Right(ready(Err(error.into()))),
        }
    }
}
