//! Handles a message id once.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::LayerFuture;
use crate::dedup::{Claim, DedupStore};
use crate::handler::{BoxError, Outcome};
use crate::incoming::Incoming;

/// Handles a message id once within the store's time to live: a second message of the same id is skipped. A message
/// without an id of its own goes by the broker's. A handling that fails does not count.
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
            let id = mark(&incoming);
            match store.claim(&id).await? {
                Claim::Done => return Ok(Outcome::Skip),
                Claim::Busy => return Ok(Outcome::nack("another consumer is handling this message id")),
                Claim::Mine => {}
            }
            let mut claimed = Claimed {
                store: Some((Arc::clone(&store), id.clone())),
            };
            let answer = inner.call(incoming).await.map_err(Into::into);
            claimed.store = None;
            match &answer {
                Ok(Outcome::Ack | Outcome::Skip | Outcome::Publish(_)) => store.done(&id).await?,
                _ => store.release(&id).await?,
            }
            answer
        })
    }
}

/// Lets the id go where the handling is dropped: by a timeout, a panic, a shutdown.
struct Claimed {
    store: Option<(Arc<dyn DedupStore>, String)>,
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
