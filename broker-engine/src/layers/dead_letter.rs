//! Publishes what is given up to a stream of one's own choice.

use std::task::{Context, Poll};

use broker_core::{Error, Failure, Result, StreamName};
use tower_layer::Layer;
use tower_service::Service;

use super::sealed::Answer as _;
use super::{Handled, LayerFuture};
use crate::handler::{BoxError, Outcome, cause};
use crate::incoming::Incoming;
use crate::retry::RetryPolicy;
use crate::run::dead_letter;

/// Publishes what is given up to a stream of one's own choice, and then settles it: in place of the broker's own dead
/// letters. While it can't be published the message stays, and is tried again. Of a batch each message goes its own way.
///
/// ```
/// use broker::engine::layers::DeadLetterLayer;
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// # fn main() -> broker::Result<()> {
/// let policy = RetryPolicy::attempts(5);
/// let layer = DeadLetterLayer::new("orders-given-up", policy.clone())?;
/// let billing = Subscriber::new("orders", "billing").handle(bill).layer(layer).retry(policy);
/// # let _ = billing;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetterLayer {
    stream: StreamName,
    policy: RetryPolicy,
}

impl DeadLetterLayer {
    /// Gives up by `policy`, to `stream`. The subscriber's own policy has to allow at least as many attempts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](broker_core::ErrorKind::InvalidName).
    pub fn new<S>(stream: S, policy: RetryPolicy) -> Result<Self>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        Ok(Self {
            stream: stream.try_into().map_err(Error::from)?,
            policy,
        })
    }
}

impl<S> Layer<S> for DeadLetterLayer {
    type Service = DeadLetterService<S>;

    fn layer(&self, inner: S) -> DeadLetterService<S> {
        DeadLetterService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of a [`DeadLetterLayer`].
#[derive(Clone, Debug)]
pub struct DeadLetterService<S> {
    inner: S,
    layer: DeadLetterLayer,
}

impl<S, R> Service<R> for DeadLetterService<S>
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
        let (layer, seen) = (self.layer.clone(), request.again());
        let handling = self.inner.call(request);
        Box::pin(async move {
            let seen = seen.messages();
            let mut outcomes = R::Answer::each(handling.await.map_err(Into::into), seen.len());
            for (incoming, outcome) in seen.iter().zip(outcomes.as_mut()) {
                let answer = std::mem::replace(outcome, Ok(Outcome::Skip));
                *outcome = layer.conclude(incoming, answer).await;
            }
            R::Answer::of(outcomes)
        })
    }
}

impl DeadLetterLayer {
    /// What becomes of a message after its handler's answer: what is given up is published, and done.
    async fn conclude(
        &self,
        seen: &Incoming,
        answer: Result<Outcome, BoxError>,
    ) -> Result<Outcome, BoxError> {
        let reason = match answer {
            Err(error) if self.gives_up(seen, &error) => error,
            Ok(Outcome::DeadLetter { reason }) => reason,
            Ok(Outcome::Nack { reason, .. }) if self.gives_up(seen, &reason) => reason,
            other => return other,
        };
        let letter = dead_letter(&seen.delivery, &Failure::from_error(cause(&reason)));
        // Written before the message is settled; where that fails, it is tried again and not given up.
        seen.context.broker().publish(&self.stream, letter).await?;
        Ok(Outcome::Ack)
    }

    fn gives_up(&self, seen: &Incoming, error: &BoxError) -> bool {
        seen.delivery.attempt() >= self.policy.attempts || self.policy.is_permanent(cause(error))
    }
}
