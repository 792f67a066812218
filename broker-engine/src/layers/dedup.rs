//! Handles a message id once.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::handled::Answered;
use super::sealed::Answer as _;
use super::{Current, Handled, LayerFuture};
use crate::dedup::{Claim, DedupStore};
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;
use crate::rpc;

/// Handles a message id once within the store's time to live: a second message of the same id is skipped. A message
/// without an id of its own goes by the broker's. A handling that fails does not count; what the handler answers with is
/// published before it does. Of a batch the new ids are
/// handled, as a batch that is smaller; the second of two messages of one id in it shares the fate of the first.
///
/// ```
/// use std::time::Duration;
///
/// use broker::engine::dedup::MemoryDedup;
/// use broker::engine::layers::DedupLayer;
/// use broker::prelude::*;
///
/// async fn bill(Json(_): Json<u32>) {}
///
/// let seen = MemoryDedup::new(Duration::from_secs(3600), 100_000);
/// let billing = Subscriber::new("orders", "billing").handle(bill).layer(DedupLayer::new(seen));
/// # let _ = billing;
/// ```
#[derive(Clone, Debug)]
pub struct DedupLayer(Arc<dyn DedupStore>);

impl DedupLayer {
    /// Remembers ids in `store`.
    pub fn new(store: impl DedupStore) -> Self {
        Self(Arc::new(store))
    }
}

impl<S> Layer<S> for DedupLayer {
    type Service = DedupService<S>;

    fn layer(&self, inner: S) -> DedupService<S> {
        DedupService {
            inner,
            store: Arc::clone(&self.0),
        }
    }
}

/// The service of a [`DedupLayer`].
#[derive(Clone, Debug)]
pub struct DedupService<S> {
    inner: S,
    store: Arc<dyn DedupStore>,
}

impl<S, R> Service<R> for DedupService<S>
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
        // The ready one is taken, and its clone waits for the next call.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let count = request.messages().len();
            let (mut places, mut told) = (Vec::with_capacity(count), Vec::with_capacity(count));
            let mut known = HashMap::new();
            for (at, incoming) in request.messages().iter().enumerate() {
                let id = mark(incoming);
                let (place, tells) = match known.get(&id) {
                    Some(first) => (Place::AsBefore(*first), Some(Ok(busy()))),
                    None => match Claimed::new(&store, incoming, id.clone()).await {
                        Ok(claimed) => (Place::New(claimed), None),
                        Err(outcome) => (Place::Known, Some(outcome)),
                    },
                };
                places.push(place);
                told.push(tells);
                known.entry(id).or_insert(at);
            }
            let mut told = told.into_iter();
            let (new, told) = request.part(|_| told.next().flatten());
            let answer = match new {
                Some(new) => Some(inner.call(new).await.map_err(Into::into)),
                None => None,
            };
            let mut outcomes = R::Answer::each(R::Answer::join(told, answer), count);
            for (at, place) in places.into_iter().enumerate() {
                place.conclude(at, outcomes.as_mut()).await;
            }
            R::Answer::of(outcomes)
        })
    }
}

/// What is known of a message before the new ones are handled.
enum Place {
    New(Claimed),
    /// Its id is that of an earlier one.
    AsBefore(usize),
    Known,
}

impl Place {
    /// Mends the outcome of the message at `at` when those before it are what they will be.
    async fn conclude(self, at: usize, outcomes: &mut [Answered]) {
        let first_is_done = match &self {
            Self::AsBefore(first) => matches!(outcomes.get(*first), Some(Ok(done)) if is_done(done)),
            _ => false,
        };
        let Some(outcome) = outcomes.get_mut(at) else {
            return;
        };
        match self {
            Self::New(claimed) => {
                let answer = std::mem::replace(outcome, Ok(Outcome::Skip));
                *outcome = claimed.conclude(answer).await;
            }
            Self::AsBefore(_) if first_is_done => *outcome = Ok(Outcome::Skip),
            Self::AsBefore(_) | Self::Known => {}
        }
    }
}

fn busy() -> Outcome {
    Outcome::nack("another consumer is handling this message id")
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ack | Outcome::Skip)
}

/// Lets the id go where the handling is dropped: by a timeout, a panic, a shutdown.
struct Claimed {
    store: Option<(Arc<dyn DedupStore>, String)>,
    message: Incoming,
}

impl Claimed {
    /// Claims the id of a message, or answers what becomes of that.
    async fn new(store: &Arc<dyn DedupStore>, message: &Incoming, id: String) -> Result<Self, Answered> {
        let claim = store.claim(&id).await;
        // One that failed may hold all the same, and is let go.
        let mut claimed = Self {
            store: Some((Arc::clone(store), id)),
            message: message.view(),
        };
        let outcome = match claim {
            Ok(Claim::Mine) => return Ok(claimed),
            Err(error) => return Err(Err(error.into())),
            Ok(Claim::Done) => Outcome::Skip,
            Ok(Claim::Busy) => busy(),
        };
        claimed.store = None;
        Err(Ok(outcome))
    }

    /// Remembers the id of what is done, and lets go of that of what failed.
    async fn conclude(mut self, answer: Answered) -> Answered {
        let answer = match answer {
            Ok(outcome) => self.publish(outcome).await,
            Err(error) => Err(error),
        };
        if let Some((store, id)) = self.store.take() {
            match &answer {
                Ok(outcome) if is_done(outcome) => store.done(&id).await?,
                _ => store.release(&id).await?,
            }
        }
        answer
    }

    /// Publishes what follows from the message before its id counts as handled: a crash in between would lose it.
    async fn publish(&self, outcome: Outcome) -> Result<Outcome, BoxError> {
        let (delivery, context) = (&self.message.delivery, &self.message.context);
        let messages: Vec<_> = match outcome {
            Outcome::Publish(messages) => messages,
            Outcome::Reply(answer) => rpc::addressed(delivery, *answer).into_iter().collect(),
            other => return Ok(other),
        };
        let current = Current::of(delivery);
        for outgoing in messages {
            let broker = match &outgoing.broker {
                Some(name) => context.named(name)?,
                None => context.broker(),
            };
            let message = current.follow(outgoing.message);
            broker.publish(&outgoing.stream, message).await?;
        }
        Ok(Outcome::Ack)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some((store, id)) = self.store.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = store.release(&id).await {
                    tracing::debug!(%error, "an id is let go when its claim ends");
                }
            });
        }
    }
}

/// Ids are one group's: two groups handle the same message each.
fn mark(incoming: &Incoming) -> String {
    let (stream, group) = (incoming.delivery.stream(), incoming.context.group());
    match incoming.delivery.message_id() {
        Some(id) => format!("{stream}/{group}/{id}"),
        None => format!("{stream}/{group}/:{}", incoming.delivery.id()),
    }
}
