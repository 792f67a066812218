//! Settling: one ack for many where that is exact, and a copy that is confirmed before its original is acked.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::base::Disposition;
use broker_core::{Error, Failure, Receipt, ReceiptRun, Result, Settled, Settlements};

use crate::client::{Client, lock};
use crate::consumer::Consumer;
use crate::entry::Entry;
use crate::held::Held;
use crate::letter::{self, Burial};
use crate::memory::Fate;
use crate::sender::Outgoing;
use crate::told::{Told, gone, tell};

/// The present in ms since 1970.
pub(crate) fn now() -> u64 {
    millis(SystemTime::now())
}

/// A time in ms since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Client {
    /// Whose delivery a receipt names, or what settling it answers in place of that.
    pub(crate) fn holder(
        &self,
        member: &broker_core::base::Membership,
        receipt: &Receipt,
    ) -> std::result::Result<Arc<Consumer>, Settled> {
        let Some(consumer) = self.session(receipt.fence) else {
            return Err(if self.gave(receipt.fence) {
                Settled::Stale
            } else {
                Settled::NotPending
            });
        };
        let of = &consumer.member;
        if (&of.stream, &of.group) != (&member.stream, &member.group) {
            return Err(Settled::NotPending);
        }
        if of.consumer != member.consumer {
            return Err(Settled::NotOwner);
        }
        Ok(consumer)
    }

    /// Marks deliveries as done.
    pub(crate) async fn ack(
        &self,
        member: &broker_core::base::Membership,
        runs: &[ReceiptRun],
    ) -> Result<Settlements> {
        let mut settlements = Settlements::all(Settled::Acked, 0);
        let mut acked: Vec<(Arc<Consumer>, u64, Vec<Held>)> = Vec::new();
        for run in runs {
            let holder = self.holder(member, &run.first);
            for receipt in run.iter() {
                let marked = match &holder {
                    Ok(consumer) => consumer.mark(&receipt).map(|held| (consumer, held)),
                    Err(answer) => Err(*answer),
                };
                settlements.push(match marked {
                    Err(answer) => answer,
                    Ok((consumer, held)) => {
                        match acked.iter_mut().find(|(_, fence, _)| *fence == receipt.fence) {
                            Some((_, _, all)) => all.push(held),
                            None => acked.push((Arc::clone(consumer), receipt.fence, vec![held])),
                        }
                        Settled::Acked
                    }
                });
            }
        }
        // All frames are on their way before the first answer is waited for: a dropped ack is whole, or not begun.
        let telling = acked
            .iter_mut()
            .map(|(consumer, fence, held)| consumer.send_acks(*fence, std::mem::take(held)));
        for told in futures_util::future::join_all(telling).await {
            told?;
        }
        Ok(settlements)
    }

    /// Refuses deliveries.
    pub(crate) async fn nack(
        &self,
        member: &broker_core::base::Membership,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        let mut settlements = Settlements::all(Settled::Nacked, 0);
        let receipts: Vec<_> = runs.iter().flat_map(|run| run.iter()).collect();
        let mut begun: Vec<(Arc<Consumer>, u64, Vec<Held>)> = Vec::new();
        for receipt in &receipts {
            let answer = match self.holder(member, receipt) {
                Err(answer) => answer,
                Ok(consumer) => match consumer.begin(receipt) {
                    Err(answer) => answer,
                    Ok(held) => {
                        match begun.iter_mut().find(|(_, fence, _)| *fence == receipt.fence) {
                            Some((_, _, all)) => all.push(held),
                            None => begun.push((consumer, receipt.fence, vec![held])),
                        }
                        Settled::Nacked
                    }
                },
            };
            settlements.push(answer);
        }
        for (consumer, fence, held) in begun {
            let failure = failure.clone();
            // A dropped nack goes on: half of it would leave the message in two places.
            let refusing =
                tokio::spawn(async move { consumer.refuse(fence, held, disposition, &failure).await });
            refusing.await.unwrap_or_else(|_| Err(Error::closed()))?;
        }
        Ok(settlements)
    }
}

impl Consumer {
    /// Takes note of an ack.
    fn mark(&self, receipt: &Receipt) -> std::result::Result<Held, Settled> {
        let mut session = lock(&self.session);
        match session.as_mut().filter(|session| session.fence == receipt.fence) {
            Some(session) if session.channel.status().connected() => session.ledger.ack(receipt.sequence),
            _ => Err(Settled::Stale),
        }
    }

    /// Takes note that a nack begins.
    fn begin(&self, receipt: &Receipt) -> std::result::Result<Held, Settled> {
        let mut session = lock(&self.session);
        match session.as_mut().filter(|session| session.fence == receipt.fence) {
            Some(session) if session.channel.status().connected() => session.ledger.begin(receipt.sequence),
            _ => Err(Settled::Stale),
        }
    }

    /// Tells the server of acks, and waits until it has them.
    async fn send_acks(&self, fence: u64, held: Vec<Held>) -> Result<()> {
        let mut doubtful = Doubtful { consumer: self, held };
        let tags = doubtful.entries().map(|entry| entry.tag).collect();
        let told = match self.tell(fence, tags) {
            Some(told) => told.await,
            None => Err(gone()),
        };
        if told.is_ok() {
            let done = doubtful.entries().filter_map(Entry::identity);
            self.memory.note(done, Fate::Done);
            doubtful.held.clear();
        }
        drop(doubtful);
        self.end_if_over();
        told
    }

    fn end_if_over(&self) {
        if self.is_over() {
            self.end_session();
        }
    }

    /// Refuses deliveries of one session.
    pub(crate) async fn refuse(
        &self,
        fence: u64,
        held: Vec<Held>,
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<()> {
        let entries: Vec<_> = held.iter().filter_map(Held::entry).collect();
        // What the server has given to somebody else by now is not to be doubled by a copy.
        let written = match self.is_heard(fence).await {
            Ok(()) => self.write_elsewhere(&entries, disposition, failure).await,
            Err(error) => Err(error),
        };
        if written.is_ok() {
            let fate = match disposition {
                Disposition::Discard => Fate::Done,
                _ => Fate::Moved,
            };
            let entries = entries.iter().filter_map(|entry| entry.identity());
            self.memory.note(entries, fate);
        }
        let told = self.ended(fence, &entries, written.is_ok());
        written?;
        if let Some(told) = told {
            // Should they be lost on their way, the originals come again and are settled again.
            let _ = told.await;
        }
        self.end_if_over();
        Ok(())
    }

    /// Sees that the server hears this session, and so has given nothing of it to others.
    pub(crate) async fn is_heard(&self, fence: u64) -> Result<()> {
        let limit = self.client.context.config.operation_timeout;
        let told = self.tell(fence, Vec::new()).ok_or_else(gone)?;
        let told = tokio::time::timeout(limit, told).await;
        told.unwrap_or_else(|_| Err(gone()))
    }

    /// Takes note of how a nack ended. Answers what tells the server, if there is anything to tell.
    fn ended(&self, fence: u64, entries: &[&Entry], settled: bool) -> Option<Told> {
        let mut session = lock(&self.session);
        let session = session.as_mut().filter(|session| session.fence == fence)?;
        for entry in entries {
            session.ledger.end(entry.tag, settled);
        }
        settled.then(|| {
            let acks = session
                .ledger
                .tell(entries.iter().map(|entry| entry.tag).collect());
            tell(&session.channel, acks)
        })
    }

    /// Puts what becomes of refused deliveries where it belongs, confirmed when this returns.
    async fn write_elsewhere(
        &self,
        entries: &[&Entry],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<()> {
        let now = now();
        let mut copies = Vec::with_capacity(entries.len());
        for entry in entries {
            let first = entry.meta.first_failed;
            let copy = match disposition {
                Disposition::Discard => return Ok(()),
                Disposition::GiveBack => self.copy_to(
                    self.queue.clone(),
                    entry,
                    disposition.attempts(entry.attempt),
                    first,
                )?,
                Disposition::Requeue { delay } => self.again(entry, delay, first.unwrap_or(now)).await?,
                Disposition::DeadLetter | Disposition::WornOut => {
                    let burial = Burial {
                        queue: &self.queue,
                        consumer: &self.member.consumer,
                        attempts: disposition.attempts(entry.attempt),
                        first_failed: first,
                        failure,
                        now,
                    };
                    letter::bury(&self.client, entry, burial).await?
                }
            };
            copies.push(copy);
        }
        self.client.put(copies).await
    }

    async fn again(&self, entry: &Entry, delay: Duration, first: u64) -> Result<Outgoing> {
        let queue = if delay.is_zero() {
            self.queue.clone()
        } else {
            self.client.resting(&self.queue, delay).await?
        };
        self.copy_to(queue, entry, entry.attempt, Some(first))
    }
}

/// What was acked and may come again: nobody knows whether the server has heard.
struct Doubtful<'a> {
    consumer: &'a Consumer,
    held: Vec<Held>,
}

impl Doubtful<'_> {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.held.iter().filter_map(Held::entry)
    }
}

impl Drop for Doubtful<'_> {
    fn drop(&mut self) {
        for entry in self.entries() {
            self.consumer
                .memory
                .note(entry.identity(), Fate::Seen(entry.attempt));
        }
    }
}
