//! Publishes and acks that take effect together.

use std::fmt;
use std::sync::Arc;

use super::batch::Batch;
use super::consumer::Consumer;
use super::delivery::Delivery;
use super::shared::Shared;
use super::spans::Publishing;
use crate::base::{Settle, Transact, Work};
use crate::values::{
    Capabilities, Error, ErrorKind, Message, MessageId, ReceiptRun, Result, StreamName, TransactorName,
};

/// The most messages of one transaction, and the most deliveries: they are kept until it is committed.
const MOST: usize = 65_536;
/// The most payload bytes of one transaction.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Commits transactions under a name that one process at a time has; who opens it last fences the others.
///
/// Clones share it. Transactions of one transactor are committed one after another; several names go side by side.
///
/// ```no_run
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("kafka://localhost:9092").await?;
/// let transactor = broker.transactor("words-0").await?;
///
/// let lines = broker.read("lines", "words", 100).await?;
/// let mut transaction = transactor.begin();
/// for line in lines.iter() {
///     transaction.publish("counts", Message::text(line.payload().len().to_string()))?;
/// }
/// transaction.ack_batch(&lines)?;
/// transaction.commit().await?; // all of it, or nothing
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Transactor {
    shared: Arc<Shared>,
    name: TransactorName,
    endpoint: Arc<dyn Transact>,
}

impl Transactor {
    pub(super) async fn open(shared: &Arc<Shared>, name: TransactorName) -> Result<Self> {
        const OPERATION: &str = "open transactor";
        let family = shared.base.families().transactions;
        let transactions = shared.family(family, Capabilities::TRANSACTIONS, OPERATION)?;
        let endpoint = shared.call(OPERATION, || transactions.transactor(&name)).await?;
        Ok(Self {
            shared: Arc::clone(shared),
            name,
            endpoint,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &TransactorName {
        &self.name
    }

    /// Begins a transaction. No server hears of it before it is committed.
    pub fn begin(&self) -> Transaction {
        Transaction {
            transactor: self.clone(),
            publish: Vec::new(),
            places: Vec::new(),
            bytes: 0,
            settle: Vec::new(),
            acked: 0,
        }
    }
}

impl fmt::Debug for Transactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactor")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Publishes and acks that take effect together when it is committed, or not at all.
///
/// Dropping it aborts it: nothing was sent, and the deliveries in it are as they were, to be settled otherwise.
#[must_use = "nothing happens before it is committed"]
pub struct Transaction {
    transactor: Transactor,
    publish: Vec<(StreamName, Vec<Message>)>,
    /// Each message's place in `publish`, in the order of the calls.
    places: Vec<(usize, usize)>,
    bytes: usize,
    settle: Vec<(Arc<Consumer>, Vec<ReceiptRun>)>,
    acked: usize,
}

impl Transaction {
    /// Adds a message to publish.
    ///
    /// # Errors
    ///
    /// Why it can't be published: a bad name or message; [`ErrorKind::TooLarge`] beyond 65,536 messages or 32 MiB of
    /// payload. The transaction is as before then.
    pub fn publish<S>(&mut self, stream: S, mut message: Message) -> Result<()>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = stream
            .try_into()
            .map_err(|error| Error::from(error).operation("publish"))?;
        self.shared().check_message(&message)?;
        // It is sent with the rest, and what handles it goes on from here.
        Publishing::begin(self.shared(), &stream, std::slice::from_mut(&mut message));
        let bytes = self.bytes.saturating_add(message.payload().len());
        if self.places.len() >= MOST || bytes > MOST_BYTES {
            return Err(self.too_large("messages"));
        }
        let known = self.publish.iter().position(|(name, _)| *name == stream);
        let at = known.unwrap_or(self.publish.len());
        match self.publish.get_mut(at) {
            Some((_, messages)) => {
                self.places.push((at, messages.len()));
                messages.push(message);
            }
            None => {
                self.places.push((at, 0));
                self.publish.push((stream, vec![message]));
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds a delivery to settle as done. It stays in your hands: should the transaction fail, settle it otherwise.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a delivery of another broker or of an independent reader.
    pub fn ack(&mut self, delivery: &Delivery) -> Result<()> {
        let (consumer, receipt) = delivery.claim();
        self.settle(consumer, std::iter::once(receipt.into()))
    }

    /// Adds what is left of a batch to settle as done.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_batch(&mut self, batch: &Batch) -> Result<()> {
        let (consumer, runs) = batch.claim();
        self.settle(consumer, runs)
    }

    /// Makes all of it visible together; answers the messages' ids, in the order they were added.
    ///
    /// # Errors
    ///
    /// Why nothing of it took effect: [`ErrorKind::Fenced`] where another instance opened the transactor,
    /// [`ErrorKind::Stale`] where a delivery in it can't be settled any more, and what the connection answers. With
    /// [`Retry::Unknown`](crate::Retry::Unknown) nobody knows whether it took effect; what it settled comes again if
    /// it did not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave it committed or not, never in part.
    pub async fn commit(self) -> Result<Vec<MessageId>> {
        let shared = self.shared();
        shared.check("commit")?;
        if self.places.is_empty() && self.settle.is_empty() {
            return Ok(Vec::new());
        }
        let settle: Vec<_> = self
            .settle
            .iter()
            .map(|(consumer, runs)| Settle {
                member: &consumer.member,
                runs,
            })
            .collect();
        let work = Work {
            publish: &self.publish,
            settle: &settle,
        };
        let endpoint = &self.transactor.endpoint;
        let answer = shared.store("commit", || endpoint.commit(work)).await;
        let published = match answer {
            Ok(published) => published,
            Err(error) => {
                shared.counters.publish_failed.add(self.places.len());
                return Err(error);
            }
        };
        shared.counters.published.add(self.places.len());
        shared.counters.acked.add(self.acked);
        self.places
            .iter()
            .map(|(stream, place)| {
                let outcome = published
                    .get(*stream)
                    .and_then(|published| published.outcome(*place));
                outcome.unwrap_or_else(super::publish::unanswered).into_result()
            })
            .collect()
    }

    /// Gives it up: nothing of it takes effect, as when it is dropped.
    pub fn abort(self) {}

    fn settle(&mut self, consumer: &Arc<Consumer>, receipts: impl Iterator<Item = ReceiptRun>) -> Result<()> {
        consumer.check_settles(Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack")?;
        if !Arc::ptr_eq(&consumer.shared, self.shared()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the delivery is of another broker; a transaction spans one broker only",
            )
            .operation("ack")
            .provider(self.shared().provider));
        }
        let receipts: Vec<_> = receipts.collect();
        let count: usize = receipts.iter().map(|run| run.len as usize).sum();
        if self.acked.saturating_add(count) > MOST {
            return Err(self.too_large("deliveries"));
        }
        self.acked += count;
        let known = self
            .settle
            .iter_mut()
            .find(|(own, _)| Arc::ptr_eq(own, consumer) || own.member == consumer.member);
        match known {
            Some((_, runs)) => runs.extend(receipts),
            None => self.settle.push((Arc::clone(consumer), receipts)),
        }
        Ok(())
    }

    fn too_large(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::TooLarge,
            format!(
                "a transaction has at most {MOST} {what} and {} MiB of payload; commit sooner",
                MOST_BYTES / 1024 / 1024
            ),
        )
        .operation("transaction")
        .provider(self.shared().provider)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.transactor.shared
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("transactor", &self.transactor.name)
            .field("messages", &self.places.len())
            .field("acked", &self.acked)
            .finish_non_exhaustive()
    }
}
