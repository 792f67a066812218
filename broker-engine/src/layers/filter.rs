//! Looks at a message before its handler does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use broker_core::broker::Delivery;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Handled;
use super::sealed::Answer;
use crate::handler::{BoxError, Outcome, Permanent};

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

impl<S, R> Service<R> for FilterService<S>
where
    R: Handled,
    S: Service<R, Response = R::Answer>,
    S::Error: Into<BoxError>,
{
    type Response = R::Answer;
    type Error = BoxError;
    type Future = FilterFuture<S::Future, R::Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let (left, told) = request.part(|incoming| match (self.check.0)(&incoming.delivery) {
            Ok(true) => None,
            Ok(false) => Some(Ok(Outcome::Skip)),
            Err(error) => Some(Err(error)),
        });
        FilterFuture {
            handling: left.map(|request| self.inner.call(request)),
            told: Some(told),
        }
    }
}

pin_project! {
    /// The future of a [`FilterService`].
    pub struct FilterFuture<F, A: Answer> {
        // Of what the filter has left, if anything.
        #[pin]
        handling: Option<F>,
        told: Option<A::Told>,
    }
}

impl<F, A, E> Future for FilterFuture<F, A>
where
    F: Future<Output = Result<A, E>>,
    A: Answer,
    E: Into<BoxError>,
{
    type Output = Result<A, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.handling.as_pin_mut() {
            Some(handling) => Some(ready!(handling.poll(context)).map_err(Into::into)),
            None => None,
        };
        // Who polls a future that is over waits for nothing.
        this.told
            .take()
            .map_or(Poll::Pending, |told| Poll::Ready(A::join(told, answer)))
    }
}
