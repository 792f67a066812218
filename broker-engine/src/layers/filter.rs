//! Looks at a message before its handler does.

use std::sync::Arc;
use std::task::{Context, Poll};

use broker_core::broker::Delivery;
use futures_util::future::{Either, Ready, ready};
use tower_layer::Layer;
use tower_service::Service;

use super::BatchLayerFuture;
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes, Permanent};
use crate::incoming::Incoming;

/// Looks at a message before its handler does: a filter skips it, a validator refuses it for good. Before a handler of
/// batches, each message is looked at by itself, and the handler is called with the rest.
///
/// ```
/// use broker::engine::layers::FilterLayer;
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// let ours = FilterLayer::keep(|order| matches!(order.headers().get_str("tenant"), Ok(Some("north"))));
/// let billing = Subscriber::new("orders", "billing").handle(bill).layer(ours);
/// # let _ = billing;
/// ```
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

impl<S> Service<IncomingBatch> for FilterService<S>
where
    S: Service<IncomingBatch, Response = Outcomes>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Outcomes;
    type Error = BoxError;
    type Future = BatchLayerFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, batch: IncomingBatch) -> BatchLayerFuture {
        let mut kept = Vec::with_capacity(batch.len());
        let looked = batch
            .into_iter()
            .map(|incoming| match (self.check.0)(&incoming.delivery) {
                Ok(true) => {
                    kept.push(incoming);
                    None
                }
                Ok(false) => Some(Ok(Outcome::Skip)),
                Err(error) => Some(Err(error)),
            });
        let looked: Vec<Option<Result<Outcome, BoxError>>> = looked.collect();
        let count = kept.len();
        let handling = (count > 0).then(|| self.inner.call(kept.into_iter().collect()));
        Box::pin(async move {
            let outcomes = match handling {
                // Those that were not handled have an outcome of their own.
                Some(handling) => Outcomes::each(handling.await.map_err(Into::into), count),
                None => Outcomes::default(),
            };
            let mut outcomes = outcomes.into_iter();
            let own = |looked: Option<_>| looked.or_else(|| outcomes.next()).unwrap_or(Ok(Outcome::Skip));
            Ok(looked.into_iter().map(own).collect())
        })
    }
}
