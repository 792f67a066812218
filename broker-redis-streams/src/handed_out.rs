//! Which deliveries a reader has handed out and not seen settled.

use std::collections::VecDeque;
use std::time::Duration;

use broker_core::Receipt;
use bytes::Bytes;
use tokio::time::Instant;

use crate::entry::Entry;
use crate::time::EntryId;

/// Deliveries that a reader handed out, by batch.
///
/// It answers without the server whether a receipt certainly names a live delivery of this reader: then a plain `XACK`
/// settles it. All others are settled one by one against owner and count.
#[derive(Debug, Default)]
pub(crate) struct HandedOut {
    /// Whether the keys are remembered too: where keys are parked, an ack names them.
    keyed: bool,
    /// The number of the first batch kept.
    first: u32,
    batches: VecDeque<Batch>,
}

#[derive(Debug)]
struct Batch {
    entries: Vec<Handed>,
    /// The keys of the entries, where they are remembered.
    keys: Vec<Option<Bytes>>,
    open: usize,
    /// Before the server handed them out: a lease can't have begun earlier.
    since: Instant,
    /// Where the next receipt is looked for first: acks mostly come in order.
    hint: usize,
    /// The token for plain acks; without one, only the server knows.
    token: Option<u32>,
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
struct Handed {
    id: EntryId,
    open: bool,
    /// Whether it was the entry's first one.
    first: bool,
}

/// A receipt's fence: epoch, delivery counter and batch, each as far as it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) epoch: u16,
    pub(crate) count: u16,
    pub(crate) batch: u32,
}

/// What a reader knows about a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A first delivery whose lease has not ended, with the token for a plain ack.
    Fresh(u32),
    /// It was settled through this reader.
    Settled,
    /// Only the server knows.
    Unsure,
}

impl Fence {
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.epoch) << 48 | u64::from(self.count) << 32 | u64::from(self.batch)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each part is cut out of its own bits"
    )]
    pub(crate) fn unpack(fence: u64) -> Self {
        Self {
            epoch: (fence >> 48) as u16,
            count: (fence >> 32) as u16,
            batch: fence as u32,
        }
    }

    /// The low bits of a number that only has to differ from its neighbours.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "neighbours differ in the low bits"
    )]
    pub(crate) fn low(number: u32) -> u16 {
        number as u16
    }
}

impl HandedOut {
    /// Remembers nothing yet; later also the keys, where it is `keyed`.
    pub(crate) fn new(keyed: bool) -> Self {
        Self {
            keyed,
            ..Self::default()
        }
    }

    /// Remembers a batch whose leases began at `since` or later; answers its number.
    pub(crate) fn add(
        &mut self,
        entries: &[Entry],
        since: Instant,
        lease: Duration,
        token: Option<u32>,
    ) -> u32 {
        // What is older than its lease needs no memory: the server is asked about it.
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.open == 0 || batch.since.elapsed() > lease)
        {
            self.batches.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        let number = self
            .first
            .wrapping_add(u32::try_from(self.batches.len()).unwrap_or(u32::MAX));
        self.batches.push_back(Batch {
            entries: entries
                .iter()
                .map(|entry| Handed {
                    id: entry.id,
                    open: true,
                    first: entry.count == 1,
                })
                .collect(),
            keys: entries
                .iter()
                .filter(|_| self.keyed)
                .map(|entry| entry.message.message_key().cloned())
                .collect(),
            open: entries.len(),
            since,
            hint: 0,
            token,
        });
        number
    }

    /// What is known about `receipt` at this moment, where leases that began no later than `ended` have ended; a fresh one
    /// counts as settled from now on, unless it is [reopened](Self::reopen).
    pub(crate) fn settle(&mut self, receipt: &Receipt, ended: Option<Instant>) -> Known {
        let Some((batch, at)) = self.find(receipt) else {
            return Known::Unsure;
        };
        let leased = ended.is_none_or(|ended| batch.since > ended);
        match batch.entries.get_mut(at) {
            Some(handed) if handed.open => {
                handed.open = false;
                batch.open -= 1;
                let token = batch.token.filter(|_| leased && handed.first);
                token.map_or(Known::Unsure, Known::Fresh)
            }
            Some(_) => Known::Settled,
            None => Known::Unsure,
        }
    }

    /// Takes back that `receipt` was settled.
    pub(crate) fn reopen(&mut self, receipt: &Receipt) {
        if let Some((batch, at)) = self.find(receipt)
            && let Some(handed) = batch.entries.get_mut(at)
            && !handed.open
        {
            handed.open = true;
            batch.open += 1;
        }
    }

    /// From now on the server is asked about the batch of `receipt`: it knows more than its counter.
    pub(crate) fn mark(&mut self, receipt: &Receipt) {
        if let Some((batch, _)) = self.find(receipt) {
            batch.token = None;
        }
    }

    /// Whether a delivery is neither settled nor past its lease.
    pub(crate) fn has_live(&self, lease: Duration) -> bool {
        self.batches
            .iter()
            .any(|batch| batch.open > 0 && batch.since.elapsed() <= lease)
    }

    /// The oldest delivery that is not settled.
    pub(crate) fn oldest(&self) -> Option<EntryId> {
        self.batches
            .iter()
            .flat_map(|batch| batch.entries.iter())
            .filter(|handed| handed.open)
            .map(|handed| handed.id)
            .min()
    }

    /// The key of a delivery that is remembered, if its message has one.
    pub(crate) fn key(&mut self, receipt: &Receipt) -> Option<Bytes> {
        let (batch, at) = self.find(receipt)?;
        // The next receipt that is looked for may be this one again.
        batch.hint = at;
        batch.keys.get(at)?.clone()
    }

    fn find(&mut self, receipt: &Receipt) -> Option<(&mut Batch, usize)> {
        let number = Fence::unpack(receipt.fence).batch;
        let place = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        let batch = self.batches.get_mut(place)?;
        let id = EntryId {
            ms: receipt.major,
            seq: receipt.sequence,
        };
        let at = if batch
            .entries
            .get(batch.hint)
            .is_some_and(|handed| handed.id == id)
        {
            batch.hint
        } else {
            batch.entries.iter().position(|handed| handed.id == id)?
        };
        batch.hint = at + 1;
        Some((batch, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::Message;

    fn entry(seq: u64, count: u32) -> Entry {
        Entry {
            id: EntryId { ms: 1, seq },
            message: Message::new(""),
            only_for: None,
            count,
            attempt: count,
        }
    }

    fn receipt(seq: u64, batch: u32) -> Receipt {
        let fence = Fence {
            epoch: 0,
            count: 1,
            batch,
        };
        Receipt {
            major: 1,
            sequence: seq,
            attempt: 1,
            fence: fence.pack(),
            ..Receipt::default()
        }
    }

    const LEASE: Duration = Duration::from_secs(10);

    fn ended() -> Option<Instant> {
        Instant::now().checked_sub(LEASE)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_delivery_is_settled_once_unless_it_is_reopened() {
        let mut out = HandedOut::default();
        let batch = out.add(&[entry(0, 1), entry(1, 1)], Instant::now(), LEASE, Some(5));
        assert_eq!(out.settle(&receipt(1, batch), ended()), Known::Fresh(5));
        assert_eq!(out.settle(&receipt(1, batch), ended()), Known::Settled);
        assert_eq!(out.oldest(), Some(EntryId { ms: 1, seq: 0 }));
        out.reopen(&receipt(1, batch));
        assert_eq!(out.settle(&receipt(1, batch), ended()), Known::Fresh(5));
        assert_eq!(out.settle(&receipt(7, batch), ended()), Known::Unsure);
        assert_eq!(out.settle(&receipt(0, batch + 1), ended()), Known::Unsure);
    }

    #[tokio::test(start_paused = true)]
    async fn after_its_lease_and_after_a_redelivery_only_the_server_knows() {
        let mut out = HandedOut::default();
        let again = out.add(&[entry(0, 2)], Instant::now(), LEASE, Some(5));
        assert_eq!(out.settle(&receipt(0, again), ended()), Known::Unsure);
        let batch = out.add(&[entry(1, 1)], Instant::now(), LEASE, Some(5));
        tokio::time::advance(LEASE).await;
        assert_eq!(out.settle(&receipt(1, batch), ended()), Known::Unsure);
    }

    #[test]
    fn a_fence_keeps_its_parts() {
        let fence = Fence {
            epoch: 3,
            count: 65_535,
            batch: u32::MAX,
        };
        assert_eq!(Fence::unpack(fence.pack()), fence);
    }
}
