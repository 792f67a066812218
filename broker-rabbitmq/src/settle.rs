//! Settling: one ack for many where that is exact, and a copy that is confirmed before its original is acked.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::base::Disposition;
use broker_core::{Error, Failure, Receipt, ReceiptRun, Result, Settled, Settlements};
use lapin::Channel;
use lapin::options::BasicAckOptions;

use crate::client::{Client, lock};
use crate::consumer::Consumer;
use crate::dead_letters;
use crate::entry::Entry;
use crate::held::Held;
use crate::sender::Outgoing;

/// The present in ms since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
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
        let mut acked: Vec<(Arc<Consumer>, u64, Vec<u64>)> = Vec::new();
        for run in runs {
            let holder = self.holder(member, &run.first);
            for receipt in run.iter() {
                let answer = match &holder {
                    Ok(consumer) => consumer.mark(&receipt),
                    Err(answer) => *answer,
                };
                if let (Settled::Acked, Ok(consumer)) = (answer, &holder) {
                    match acked.iter_mut().find(|(_, fence, _)| *fence == receipt.fence) {
                        Some((_, _, tags)) => tags.push(receipt.sequence),
                        None => acked.push((Arc::clone(consumer), receipt.fence, vec![receipt.sequence])),
                    }
                }
                settlements.push(answer);
            }
        }
        for (consumer, fence, tags) in acked {
            consumer.send_acks(fence, tags).await;
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
    fn mark(&self, receipt: &Receipt) -> Settled {
        let mut session = lock(&self.session);
        match session.as_mut().filter(|session| session.fence == receipt.fence) {
            Some(session) if session.channel.status().connected() => session.ledger.ack(receipt.sequence),
            _ => Settled::Stale,
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

    /// Tells the server of acks.
    async fn send_acks(&self, fence: u64, mut tags: Vec<u64>) {
        let (channel, covered) = {
            let session = lock(&self.session);
            let Some(session) = session.as_ref().filter(|session| session.fence == fence) else {
                return;
            };
            (session.channel.clone(), session.ledger.covered(&tags))
        };
        if let Some(covered) = covered {
            tags.retain(|tag| *tag > covered);
        }
        let ack = |multiple, tag| channel.basic_ack(tag, BasicAckOptions { multiple });
        let all = covered.map(|tag| ack(true, tag)).into_iter();
        let all = all.chain(tags.into_iter().map(|tag| ack(false, tag)));
        // That the connection is lost with an ack on its way has the message come again: a fault, told as such.
        let _ = futures_util::future::join_all(all).await;
        self.end_if_over();
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
        let written = self.write_elsewhere(&entries, disposition, failure).await;
        let channel = self.ended(fence, &entries, written.is_ok());
        written?;
        if let Some(channel) = channel {
            let ack = |entry: &&Entry| channel.basic_ack(entry.tag, BasicAckOptions::default());
            let _ = futures_util::future::join_all(entries.iter().map(ack)).await;
        }
        self.end_if_over();
        Ok(())
    }

    /// Takes note of how a nack ended. Answers the channel, if it is still that of the deliveries.
    fn ended(&self, fence: u64, entries: &[&Entry], settled: bool) -> Option<Channel> {
        let mut session = lock(&self.session);
        let session = session.as_mut().filter(|session| session.fence == fence)?;
        for entry in entries {
            session.ledger.end(entry.tag, settled);
        }
        Some(session.channel.clone())
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
                    dead_letters::letter(self, entry, disposition, failure, now).await?
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
