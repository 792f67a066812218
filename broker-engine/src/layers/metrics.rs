//! Counts and times handlings.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use broker_core::broker::Delivery;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::sealed::Answer as _;
use super::{Handled, LayerFuture};
use crate::handler::{BoxError, Outcome};

/// Hears of each handling; what it makes of that (a facade, an exporter) is its own affair.
pub trait Meter: Send + Sync + 'static {
    /// A handler is called.
    fn started(&self, delivery: &Delivery) {
        let _ = delivery;
    }
    /// A handler has answered, after `took`.
    fn ended(&self, stream: &str, group: &str, took: Duration, outcome: &Result<Outcome, BoxError>);
}

/// Tells a [`Meter`] of each handling. In a batch each message is one, and takes as long as the batch.
#[derive(Clone)]
pub struct MetricsLayer(Arc<dyn Meter>);

impl MetricsLayer {
    /// Tells `meter`.
    pub fn new(meter: impl Meter) -> Self {
        Self(Arc::new(meter))
    }
}

impl std::fmt::Debug for MetricsLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> MetricsService<S> {
        MetricsService {
            inner,
            meter: Arc::clone(&self.0),
        }
    }
}

/// The service of a [`MetricsLayer`].
#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    meter: Arc<dyn Meter>,
}

impl<S, R> Service<R> for MetricsService<S>
where
    R: Handled,
    S: Service<R, Response = R::Answer>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = R::Answer;
    type Error = BoxError;
    type Future = LayerFuture<R::Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let meter = Arc::clone(&self.meter);
        let messages = request.messages();
        let (count, context) = (
            messages.len(),
            messages.first().map(|first| first.context.clone()),
        );
        for incoming in messages {
            meter.started(&incoming.delivery);
        }
        let began = Instant::now();
        let handling = self.inner.call(request);
        Box::pin(handling.map(move |answer| {
            let outcomes = R::Answer::each(answer.map_err(Into::into), count);
            if let Some(context) = context {
                let (stream, group, took) = (context.stream(), context.group(), began.elapsed());
                for outcome in outcomes.as_ref() {
                    meter.ended(stream.as_str(), group.as_str(), took, outcome);
                }
            }
            R::Answer::of(outcomes)
        }))
    }
}
