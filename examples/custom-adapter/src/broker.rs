//! What the framework calls: each method translates, and leaves the work to the client.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use broker_core::base::{BaseBroker, Deliveries, HealthReport, Lot, Nack, PublishBatch, ReadRequest, Settle};
use broker_core::{Capabilities, Error, ErrorKind, MessageId, Outcome, Published, Receipt, Result};
use broker_core::{Settlements, StartPosition};
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::error::failed;
use crate::{CLAIMS, DirConfig, codec};

/// The most messages of one read: they are in memory together.
const MAX_READ: usize = 1000;

/// Messages as files in a folder.
pub struct DirBroker {
    client: Arc<Client>,
    closed: AtomicBool,
    skipped: AtomicU64,
}

impl DirBroker {
    pub(crate) fn new(config: DirConfig) -> Self {
        Self {
            client: Arc::new(Client::new(config.folder.0)),
            closed: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        }
    }

    /// Does `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let client = Arc::clone(&self.client);
        let done = spawn_blocking(move || work(&client))
            .await
            .unwrap_or_else(|cut| Err(io::Error::other(cut)));
        done.map_err(|error| failed(error, &self.client.folder))
    }
}

impl BaseBroker for DirBroker {
    fn capabilities(&self) -> Capabilities {
        CLAIMS
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        let (stream, count) = (batch.stream().clone(), batch.len());
        let files: serde_json::Result<Vec<_>> = batch.messages().iter().map(codec::encode).collect();
        let files = files.map_err(|error| Error::new(ErrorKind::InvalidMessage, "no JSON").source(error))?;
        let (stored, error) = self
            .blocking(move |client| Ok(client.store(&stream, &files)))
            .await?;
        let id = |offset| Outcome::Stored(MessageId::Offset { partition: 0, offset });
        let mut outcomes: Vec<_> = stored.into_iter().map(id).collect();
        if let Some(error) = error {
            outcomes.resize(count, Outcome::NotSent(failed(error, &self.client.folder)));
        }
        Ok(Published::each(outcomes))
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        if request.max == 0 {
            return Ok(Deliveries::new());
        }
        if let StartPosition::Id(_) | StartPosition::Time(_) = request.member.start {
            return Err(Error::unsupported(Capabilities::REPLAY));
        }
        let max = request.max.min(MAX_READ);
        loop {
            let member = request.member.clone();
            let look = move |client: &Client| {
                let from = client.position(&member)?;
                Ok((from, client.load(&member.stream, from, max)?))
            };
            let (from, found) = self.blocking(look).await?;
            let count = found.len();
            if count == 0 {
                return Ok(Deliveries::new());
            }
            // Here, and not on the other thread: no await follows, so that a call which is dropped has moved nothing,
            // and a rename takes microseconds. Where another consumer was quicker, look again.
            let moved = self.client.advance(request.member, from, from + count as u64);
            if !moved.map_err(|error| failed(error, &self.client.folder))? {
                continue;
            }
            let receipt = |sequence| Receipt {
                attempt: 1,
                sequence,
                ..Receipt::default()
            };
            let ours = (from..)
                .zip(found)
                .filter_map(|(number, message)| Some((receipt(number), message?)));
            let (receipts, messages): (Vec<_>, Vec<_>) = ours.unzip();
            self.skipped
                .fetch_add((count - messages.len()) as u64, Ordering::Relaxed);
            if !messages.is_empty() {
                return Ok(Deliveries::one(Lot::each(Arc::new(messages), receipts)));
            }
        }
    }

    async fn ack(&self, _: Settle<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    }

    async fn nack(&self, _: Nack<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_REJECTION))
    }

    async fn ping(&self) -> Result<()> {
        self.blocking(Client::ping).await
    }

    fn health_stats(&self) -> HealthReport {
        let skipped = self.skipped.load(Ordering::Relaxed);
        let warning = (skipped > 0).then(|| format!("{skipped} files were skipped: they are no messages"));
        HealthReport {
            warnings: warning.into_iter().collect(),
            details: vec![("folder".to_owned(), self.client.folder.display().to_string())],
        }
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.blocking(Client::connect).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
