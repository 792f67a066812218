//! A consumer process: what runs in the child.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use broker_core::broker::{Batch, Broker, NackOptions, Subscription};
use broker_core::{Capabilities, Error, ErrorKind, MessageId, Result, Settlements};
use fastrand::Rng;

use super::journal::{Journal, What};
use crate::{Entry, Ledger};

/// How many deliveries a member holds at once.
const PREFETCH: usize = 256;

/// How many deliveries of a batch are settled alone, where some are.
const ALONE: usize = 8;

/// Between two attempts to join while the server is away.
const AGAIN: Duration = Duration::from_millis(50);

/// A consumer process of a torture run: it reads, journals, settles, and is killed at any moment.
#[derive(Clone, Debug)]
pub struct Member {
    /// What tells the run's messages from those of any other.
    pub run: String,
    /// The stream.
    pub stream: String,
    /// The group.
    pub group: String,
    /// Its name in the group, which a later process may have again.
    pub consumer: String,
    /// The file it journals to.
    pub journal: PathBuf,
    /// What its choices come from.
    pub seed: u64,
}

impl Member {
    /// Consumes until `leave` is ready, then leaves the group in good order, and closes the broker.
    ///
    /// # Errors
    ///
    /// Where the journal can't be written, the broker can't do what is needed, or leaving fails.
    pub async fn consume(self, broker: &Broker, leave: impl Future<Output = ()>) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Unexpected, "the journal can't be written").source(error);
        let journal = Journal::append_to(&self.journal).map_err(failed)?;
        let mut hands = Hands {
            ledger: Ledger::new(&self.run, "torture"),
            journal,
            rng: Rng::with_seed(self.seed),
            settles: broker.has_capability(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
            refuses: broker.has_capability(Capabilities::MESSAGE_REJECTION),
        };
        let mut leave = std::pin::pin!(leave);
        let mut subscription = tokio::select! {
            subscription = self.join(broker) => subscription?,
            () = &mut leave => return passing(broker.close().await),
        };
        loop {
            let batch = tokio::select! {
                batch = subscription.next_batch() => batch,
                () = &mut leave => break,
            };
            match batch {
                None => break,
                // What reading answers under a fault; the subscription waits by itself.
                Some(Err(_)) => {}
                Some(Ok(batch)) => hands.handle(batch).await.map_err(failed)?,
            }
        }
        passing(subscription.close().await)?;
        passing(broker.close().await)
    }

    /// Joins, however long the server is away.
    async fn join(&self, broker: &Broker) -> Result<Subscription> {
        loop {
            let mut subscribing = broker
                .subscribe(self.stream.as_str(), self.group.as_str())
                .consumer(self.consumer.as_str())
                .prefetch(PREFETCH);
            if keeps_order(broker.capabilities()) {
                subscribing = subscribing.sequential();
            }
            match subscribing.start().await {
                Err(error) if may_pass(&error) => tokio::time::sleep(AGAIN).await,
                joined => return joined,
            }
        }
    }
}

/// Whether order per key can be held to: it takes acks to know when the next message of a key may come.
pub(super) fn keeps_order(flags: Capabilities) -> bool {
    flags.contains(Capabilities::MESSAGE_ORDERING | Capabilities::MESSAGE_ACKNOWLEDGEMENT)
}

/// That the server is away when a member leaves is no failure of the member: it has then ended without leaving.
fn passing(left: Result<()>) -> Result<()> {
    match left {
        Err(error) if may_pass(&error) => Ok(()),
        left => left,
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::CircuitOpen | ErrorKind::Throttled
    ) || error.is_retryable()
}

/// What handles the messages.
struct Hands {
    ledger: Ledger,
    journal: Journal,
    rng: Rng,
    settles: bool,
    refuses: bool,
}

impl Hands {
    async fn handle(&mut self, mut batch: Batch) -> std::io::Result<()> {
        let mut entries = Vec::with_capacity(batch.len());
        for delivery in batch.iter() {
            let message = delivery.message();
            let Some(entry) = self.ledger.read(message) else {
                let own = self.ledger.is_alike(message);
                self.journal
                    .note(if own { &What::Corrupted } else { &What::Foreign });
                entries.push(None);
                continue;
            };
            let key = message.message_key().map_or(&[][..], |key| key);
            self.journal.note(&What::Delivered {
                entry,
                attempt: delivery.attempt(),
                key: String::from_utf8_lossy(key).into_owned(),
                place: match delivery.id() {
                    MessageId::Offset { partition, offset } => Some((partition, offset)),
                    _ => None,
                },
            });
            entries.push(Some(entry));
        }
        self.journal.flush()?;
        if self.rng.u8(..) < 12 {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(1..40))).await;
        }
        if !self.settles {
            return Ok(());
        }
        if self.rng.u8(..) < 200 {
            self.acking(&entries)?;
            let answer = batch.ack().await;
            self.settled(&entries, answer);
            return self.journal.flush();
        }
        // Some alone, each with its own answer; on a slow connection all of them would take longer than their lease.
        for (delivery, entry) in batch.by_ref().take(ALONE).zip(&entries) {
            let answer = if self.refuses && self.rng.u8(..) < 32 {
                let delay = Duration::from_millis(self.rng.u64(0..200));
                if let Some(entry) = *entry {
                    // It may come to another before the answer comes to us.
                    self.journal.note(&What::Nacking { entry });
                    self.journal.flush()?;
                }
                delivery.nack_with(NackOptions::new().delay(delay)).await
            } else {
                self.acking(&[*entry])?;
                delivery.ack().await
            };
            self.settled(&[*entry], answer.map(|answer| Settlements::all(answer, 1)));
            self.journal.flush()?;
        }
        let rest = entries.get(ALONE..).unwrap_or_default();
        self.acking(rest)?;
        let answer = batch.ack().await;
        self.settled(rest, answer);
        self.journal.flush()
    }

    /// Notes what is asked of the broker: a process that dies now may have been heard.
    fn acking(&mut self, entries: &[Option<Entry>]) -> std::io::Result<()> {
        for entry in entries.iter().flatten() {
            self.journal.note(&What::Acking { entry: *entry });
        }
        self.journal.flush()
    }

    fn settled(&mut self, entries: &[Option<Entry>], answer: Result<Settlements>) {
        for (index, entry) in entries.iter().enumerate() {
            let Some(entry) = *entry else { continue };
            let answer = answer.as_ref().ok().and_then(|answers| answers.get(index));
            self.journal.note(&match answer {
                Some(answer) => What::Settled { entry, answer },
                None => What::Unsettled { entry },
            });
        }
    }
}
