//! Tries again within the process, before the broker hears of a failure.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::LayerFuture;
use crate::handler::{BoxError, Outcome, RetryAfter};
use crate::incoming::Incoming;
use crate::retry::RetryPolicy;

/// Tries a failed message again within the process, by a policy: for failures that pass in less time than a redelivery
/// takes. The message stays in its lane meanwhile. What fails then too is the broker's affair, by the subscriber's policy.
///
/// ```
/// use std::time::Duration;
///
/// use broker::engine::layers::RetryLayer;
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// let twice = RetryLayer::new(RetryPolicy::attempts(2).delay(Duration::from_millis(20)));
/// let billing = Subscriber::new("orders", "billing").handle(bill).layer(twice);
/// # let _ = billing;
/// ```
#[derive(Clone, Debug)]
pub struct RetryLayer(RetryPolicy);

impl RetryLayer {
    /// Tries again by this policy.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self(policy)
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> RetryService<S> {
        RetryService {
            inner,
            policy: self.0.clone(),
        }
    }
}

/// The service of a [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    inner: S,
    policy: RetryPolicy,
}

impl<S> Service<Incoming> for RetryService<S>
where
    S: Service<Incoming, Response = Outcome> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = LayerFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, incoming: Incoming) -> LayerFuture {
        let policy = self.policy.clone();
        let spare = incoming.view();
        let first = self.inner.call(incoming);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let mut answer = first.await.map_err(Into::into);
            for attempt in 1..policy.attempts {
                let error: BoxError = match answer {
                    Err(error) => error,
                    Ok(Outcome::Nack { delay: None, reason }) => reason,
                    done => return done,
                };
                if policy.is_permanent(&*error) {
                    return Err(error);
                }
                let asked = error.downcast_ref::<RetryAfter>().map(RetryAfter::delay);
                tokio::time::sleep(asked.unwrap_or_else(|| policy.wait_after(attempt))).await;
                std::future::poll_fn(|context| inner.poll_ready(context))
                    .await
                    .map_err(Into::into)?;
                answer = inner.call(spare.view()).await.map_err(Into::into);
            }
            answer
        })
    }
}
