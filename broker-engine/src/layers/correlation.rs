//! Follows a message to what its handler publishes.

use std::task::{Context, Poll};

use broker_core::broker::Delivery;
use broker_core::{Headers, Message};
use tokio::task::futures::TaskLocalFuture;
use tower_layer::Layer;
use tower_service::Service;

use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// The id that a message and all that follows from it have in common.
pub(crate) const CORRELATION: &str = "correlation-id";
/// The id of the message that this one follows from.
pub(crate) const CAUSATION: &str = "causation-id";
/// Headers that are handed on as they are: W3C trace context and baggage.
const HANDED_ON: [&str; 3] = ["traceparent", "tracestate", "baggage"];

tokio::task_local! {
    static CURRENT: Current;
}

/// The message that is being handled, as it is known anywhere below its handler.
#[derive(Clone, Debug)]
pub struct Current {
    headers: Headers,
    id: String,
}

impl Current {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self {
            headers: delivery.headers().clone(),
            id: delivery
                .message_id()
                .map_or_else(|| delivery.id().to_string(), str::to_owned),
        }
    }

    /// The headers of the message that is being handled.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The message's own id, or else the broker's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The stream that an answer is expected on, where the message is a request.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.headers.get_str(crate::rpc::REPLY_TO).ok().flatten()
    }

    /// The id that the message and all that follows from it have in common.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        match self.headers.get_str(CORRELATION) {
            Ok(Some(id)) => id,
            _ => &self.id,
        }
    }

    /// Makes `message` one that follows from this one, but for what it says itself.
    #[must_use]
    pub fn follow(&self, mut message: Message) -> Message {
        let headers = message.headers_mut();
        for (name, value) in [(CORRELATION, self.correlation_id()), (CAUSATION, &self.id)] {
            if headers.get(name).is_none() {
                headers.insert(name, value.to_owned());
            }
        }
        for name in HANDED_ON {
            if let (None, Some(value)) = (headers.get(name), self.headers.get(name)) {
                headers.insert(name, value.clone());
            }
        }
        message
    }
}

/// The message that is being handled, anywhere below a handler with a [`CorrelationLayer`].
#[must_use]
pub fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Makes the message that is being handled known anywhere below its handler, by [`current`], and what the handler
/// publishes through its [`Context`](crate::Context) or answers with follow from it: correlation, causation and trace
/// context go along.
///
/// ```
/// use broker::engine::layers::{CorrelationLayer, current};
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {
///     if let Some(current) = current() {
///         println!("story {}", current.correlation_id());
///     }
/// }
///
/// let billing = Subscriber::new("orders", "billing").handle(bill).layer(CorrelationLayer);
/// # let _ = billing;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CorrelationLayer;

impl<S> Layer<S> for CorrelationLayer {
    type Service = CorrelationService<S>;

    fn layer(&self, inner: S) -> CorrelationService<S> {
        CorrelationService(inner)
    }
}

/// The service of a [`CorrelationLayer`].
#[derive(Clone, Debug)]
pub struct CorrelationService<S>(S);

impl<S> Service<Incoming> for CorrelationService<S>
where
    S: Service<Incoming, Response = Outcome>,
    S::Error: Into<BoxError>,
{
    type Response = Outcome;
    type Error = S::Error;
    type Future = TaskLocalFuture<Current, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let current = Current::of(&incoming.delivery);
        // A handler's synchronous part runs within the call already.
        let handling = CURRENT.sync_scope(current.clone(), || self.0.call(incoming));
        CURRENT.scope(current, handling)
    }
}
