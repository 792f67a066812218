//! A span for each handling, by OpenTelemetry's messaging conventions.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument as _;
use tracing::instrument::Instrumented;

use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// A span for each handling, by OpenTelemetry's messaging conventions: `process STREAM` with system, destination, group,
/// message id, attempt, and the `traceparent` that the message came with.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLayer;

impl<S> Layer<S> for TracingLayer {
    type Service = TracingService<S>;

    fn layer(&self, inner: S) -> TracingService<S> {
        TracingService(inner)
    }
}

/// The service of a [`TracingLayer`].
#[derive(Clone, Debug)]
pub struct TracingService<S>(S);

impl<S> Service<Incoming> for TracingService<S>
where
    S: Service<Incoming, Response = Outcome>,
    S::Error: Into<BoxError>,
{
    type Response = Outcome;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let delivery = &incoming.delivery;
        let parent = delivery.headers().get_str("traceparent").ok().flatten();
        let span = tracing::info_span!(
            "process",
            otel.name = format_args!("process {}", delivery.stream()),
            otel.kind = "consumer",
            messaging.system = incoming.context.broker().provider(),
            messaging.operation.type = "process",
            messaging.operation.name = "process",
            messaging.destination.name = %delivery.stream(),
            messaging.consumer.group.name = %incoming.context.group(),
            messaging.client.id = %delivery.consumer(),
            messaging.message.id = %delivery.id(),
            messaging.message.body.size = delivery.payload().len(),
            messaging.delivery.attempt = delivery.attempt(),
            traceparent = parent,
        );
        let handling = span.in_scope(|| self.0.call(incoming));
        handling.instrument(span)
    }
}
