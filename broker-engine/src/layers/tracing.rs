//! A span for each handling, by OpenTelemetry's messaging conventions.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use super::sealed::Answer;
use super::{Handled, span};
use crate::handler::BoxError;

/// A span for each handling, by OpenTelemetry's messaging conventions: `process STREAM` with system, destination, group,
/// message id and attempt. A handling that failed says so.
///
/// With the feature `opentelemetry` its parent is what the message came with, a batch is linked with each of its
/// messages, and what the handler publishes or answers with goes on from it. Without it the span has the message's
/// `traceparent` as a field. [`App::traced`](crate::App::traced) is this for all subscribers of a service.
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

impl<S, R> Service<R> for TracingService<S>
where
    R: Handled,
    S: Service<R, Response = R::Answer>,
    S::Error: Into<BoxError>,
{
    type Response = R::Answer;
    type Error = BoxError;
    type Future = TracingFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let span = span::begin(&request);
        let handling = span.in_scope(|| self.0.call(request));
        TracingFuture { handling, span }
    }
}

pin_project! {
    /// The future of a [`TracingService`].
    pub struct TracingFuture<F> {
        #[pin]
        handling: F,
        span: Span,
    }
}

impl<F, A, E> Future for TracingFuture<F>
where
    F: Future<Output = Result<A, E>>,
    A: Answer,
    E: Into<BoxError>,
{
    type Output = Result<A, BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let handling = this.handling;
        let answer = std::task::ready!(this.span.in_scope(|| handling.poll(context)));
        let mut answer = answer.map_err(Into::into);
        span::end(&mut answer, this.span);
        Poll::Ready(answer)
    }
}
