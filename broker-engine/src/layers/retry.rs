//! Tries again within the process, before the broker hears of a failure.

use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::sealed::Answer as _;
use super::{Handled, LayerFuture};
use crate::handler::{BoxError, Outcome, RetryAfter, cause};
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

impl<S, R> Service<R> for RetryService<S>
where
    R: Handled,
    S: Service<R, Response = R::Answer> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = R::Answer;
    type Error = BoxError;
    type Future = LayerFuture<R::Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let policy = self.policy.clone();
        let spare = request.again();
        let first = self.inner.call(request);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let count = spare.messages().len();
            let mut outcomes = R::Answer::each(first.await.map_err(Into::into), count);
            for attempt in 1..policy.attempts {
                let rests = outcomes
                    .as_ref()
                    .iter()
                    .filter_map(|outcome| policy.rest(outcome, attempt));
                // They go together, so the one that rests longest says when.
                let Some(rest) = rests.max() else {
                    break;
                };
                tokio::time::sleep(rest).await;
                let (failed, done) = {
                    let mut outcomes = outcomes.into_iter();
                    let done = |outcome: &_| policy.rest(outcome, attempt).is_none();
                    spare.again().part(|_| outcomes.next().filter(done))
                };
                let answer = match failed {
                    Some(failed) => Some(try_again(&mut inner, failed).await),
                    None => None,
                };
                outcomes = R::Answer::each(R::Answer::join(done, answer), count);
            }
            R::Answer::of(outcomes)
        })
    }
}

/// Calls the service once it is ready; that it will not be is an answer too, to those that are tried again.
async fn try_again<S, R>(service: &mut S, request: R) -> Result<R::Answer, BoxError>
where
    R: Handled,
    S: Service<R, Response = R::Answer>,
    S::Error: Into<BoxError>,
{
    let ready = std::future::poll_fn(|context| service.poll_ready(context)).await;
    ready.map_err(Into::into)?;
    service.call(request).await.map_err(Into::into)
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
