//! Tries again within the process, before the broker hears of a failure.

use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::{BatchLayerFuture, LayerFuture};
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes, RetryAfter, cause};
use crate::incoming::Incoming;
use crate::retry::RetryPolicy;

/// Tries a failed message again within the process, by a policy: for failures that pass in less time than a redelivery
/// takes. The message stays in its lane meanwhile. What fails then too is the broker's affair, by the subscriber's policy.
///
/// Of a batch those that failed are tried again, as a batch that is smaller.
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
                let Some(rest) = policy.rest(&answer, attempt) else {
                    break;
                };
                tokio::time::sleep(rest).await;
                std::future::poll_fn(|context| inner.poll_ready(context))
                    .await
                    .map_err(Into::into)?;
                answer = inner.call(spare.view()).await.map_err(Into::into);
            }
            answer
        })
    }
}

impl<S> Service<IncomingBatch> for RetryService<S>
where
    S: Service<IncomingBatch, Response = Outcomes> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Outcomes;
    type Error = BoxError;
    type Future = BatchLayerFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, batch: IncomingBatch) -> BatchLayerFuture {
        let policy = self.policy.clone();
        let spare = batch.view();
        let first = self.inner.call(batch);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let answer = first.await.map_err(Into::into);
            let mut outcomes: Vec<_> = Outcomes::each(answer, spare.len()).into_iter().collect();
            for attempt in 1..policy.attempts {
                let failed: Vec<_> = outcomes
                    .iter()
                    .enumerate()
                    .filter_map(|(place, outcome)| Some((place, policy.rest(outcome, attempt)?)))
                    .collect();
                // They go together, so the one that rests longest says when.
                let Some(rest) = failed.iter().map(|(_, rest)| *rest).max() else {
                    break;
                };
                tokio::time::sleep(rest).await;
                let again = failed.iter().filter_map(|(place, _)| spare.get(*place));
                let again = again.map(Incoming::view).collect();
                // That it is not ready concerns only those that would be tried again.
                let ready = std::future::poll_fn(|context| inner.poll_ready(context)).await;
                let answer = match ready.map_err(Into::into) {
                    Ok(()) => inner.call(again).await.map_err(Into::into),
                    Err(error) => Err(error),
                };
                let answers = Outcomes::each(answer, failed.len());
                for ((place, _), answer) in failed.into_iter().zip(answers) {
                    if let Some(outcome) = outcomes.get_mut(place) {
                        *outcome = answer;
                    }
                }
            }
            Ok(outcomes.into_iter().collect())
        })
    }
}

impl RetryPolicy {
    /// How long a message with this outcome rests before it is tried again within the process; `None` where it is not.
    fn rest(&self, outcome: &Result<Outcome, BoxError>, attempt: u32) -> Option<Duration> {
        let error = match outcome {
            Err(error)
            | Ok(Outcome::Nack {
                delay: None,
                reason: error,
            }) => cause(error),
            Ok(_) => return None,
        };
        if self.is_permanent(error) {
            return None;
        }
        let asked = error.downcast_ref::<RetryAfter>().map(RetryAfter::delay);
        Some(asked.unwrap_or_else(|| self.wait_after(attempt)))
    }
}
