//! Handles a message id once.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{BatchLayerFuture, Current, LayerFuture};
use crate::dedup::{Claim, DedupStore};
use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes};
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

impl<S> Service<Incoming> for DedupService<S>
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
        // The ready one is taken, and its clone waits for the next call.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let claimed = match Claimed::new(&store, &incoming).await {
                Ok(claimed) => claimed,
                Err(outcome) => return outcome,
            };
            let answer = inner.call(incoming).await.map_err(Into::into);
            claimed.conclude(answer).await
        })
    }
}

impl<S> Service<IncomingBatch> for DedupService<S>
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
        // The ready one is taken, and its clone waits for the next call.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let (mut places, mut claims, mut new) = (Vec::new(), Vec::new(), Vec::new());
            let mut known = HashMap::new();
            for incoming in batch {
                let id = mark(&incoming);
                places.push(match known.get(&id) {
                    Some(first) => Place::AsBefore(*first),
                    None => match Claimed::new(&store, &incoming).await {
                        Ok(claimed) => {
                            claims.push(claimed);
                            new.push(incoming);
                            Place::New
                        }
                        Err(outcome) => Place::Is(outcome),
                    },
                });
                known.entry(id).or_insert(places.len() - 1);
            }
            let count = new.len();
            let answers = if count > 0 {
                Outcomes::each(
                    inner.call(new.into_iter().collect()).await.map_err(Into::into),
                    count,
                )
            } else {
                Outcomes::default()
            };
            let mut handled = claims.into_iter().zip(answers);
            let mut outcomes: Vec<Result<Outcome, BoxError>> = Vec::with_capacity(places.len());
            for place in places {
                let outcome = match place {
                    Place::Is(outcome) => outcome,
                    Place::AsBefore(first) => match outcomes.get(first) {
                        Some(Ok(done)) if is_done(done) => Ok(Outcome::Skip),
                        _ => Ok(busy()),
                    },
                    Place::New => match handled.next() {
                        Some((claimed, answer)) => claimed.conclude(answer).await,
                        None => Ok(busy()),
                    },
                };
                outcomes.push(outcome);
            }
            Ok(outcomes.into_iter().collect())
        })
    }
}

/// What is known of a message of a batch before the new ones are handled.
enum Place {
    New,
    /// Its id is that of an earlier one.
    AsBefore(usize),
    Is(Result<Outcome, BoxError>),
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
    async fn new(store: &Arc<dyn DedupStore>, message: &Incoming) -> Result<Self, Result<Outcome, BoxError>> {
        let id = mark(message);
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
    async fn conclude(mut self, answer: Result<Outcome, BoxError>) -> Result<Outcome, BoxError> {
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
