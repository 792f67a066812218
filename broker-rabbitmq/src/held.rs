//! What a session holds: which of the channel's deliveries are out, and which single acks one can stand for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use broker_core::Settled;
use tokio::time::Instant;

use crate::entry::{Entries, Entry};

/// How many ended leases are remembered, so that a late settlement is told apart from a second one.
const ENDED: usize = 4_096;

/// A delivery that a consumer has in hand.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    batch: Arc<Entries>,
    index: usize,
    until: Instant,
    /// Whether it is being settled at this moment.
    settling: bool,
}

impl Held {
    /// The delivery itself.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.batch.get(self.index)
    }
}

/// The deliveries of one channel.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What came and was not handed out, with the time until which it stays here.
    buffer: VecDeque<(Entry, Instant)>,
    out: BTreeMap<u64, Held>,
    /// Leases that ended, the oldest first to be forgotten.
    ended: BTreeSet<u64>,
    /// All deliveries up to this one have come.
    came: u64,
    /// Deliveries that came before one with a lower number.
    early: BTreeSet<u64>,
}

impl Ledger {
    /// A delivery came.
    pub(crate) fn came(&mut self, entry: Entry, lease: Duration) {
        if entry.tag == self.came + 1 {
            self.came += 1;
            while self.early.remove(&(self.came + 1)) {
                self.came += 1;
            }
        } else {
            self.early.insert(entry.tag);
        }
        self.buffer.push_back((entry, Instant::now() + lease));
    }

    /// Hands out up to `max` of what came.
    pub(crate) fn hand_out(&mut self, max: usize, lease: Duration) -> Option<Arc<Entries>> {
        let count = max.min(self.buffer.len());
        if count == 0 {
            return None;
        }
        let batch = Entries::new(self.buffer.drain(..count).map(|(entry, _)| entry).collect());
        let until = Instant::now() + lease;
        for (index, entry) in batch.iter().enumerate() {
            let held = Held {
                batch: Arc::clone(&batch),
                index,
                until,
                settling: false,
            };
            self.out.insert(entry.tag, held);
        }
        Some(batch)
    }

    /// Takes all that came and was not handed out.
    pub(crate) fn unseen(&mut self) -> Vec<Entry> {
        self.buffer.drain(..).map(|(entry, _)| entry).collect()
    }

    /// Whether nothing is in hand or waits to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.out.is_empty()
    }

    /// How many deliveries are here.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() + self.out.len()
    }

    /// Whether there is something to hand out.
    pub(crate) fn has_unseen(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Settles a delivery as done.
    pub(crate) fn ack(&mut self, tag: u64) -> Settled {
        match self.out.get(&tag) {
            Some(held) if !held.settling => {
                self.out.remove(&tag);
                Settled::Acked
            }
            Some(_) => Settled::AlreadySettled,
            None => self.absent(tag),
        }
    }

    /// Begins to settle a delivery in some other way, unless that is over.
    pub(crate) fn begin(&mut self, tag: u64) -> Result<Held, Settled> {
        match self.out.get_mut(&tag) {
            Some(held) if !held.settling => {
                held.settling = true;
                Ok(held.clone())
            }
            Some(_) => Err(Settled::AlreadySettled),
            None => Err(self.absent(tag)),
        }
    }

    /// The settling that was begun took effect, or it did not.
    pub(crate) fn end(&mut self, tag: u64, settled: bool) {
        if settled {
            self.out.remove(&tag);
        } else if let Some(held) = self.out.get_mut(&tag) {
            held.settling = false;
        }
    }

    /// Lets a lease end no sooner than `until`.
    pub(crate) fn extend(&mut self, tag: u64, until: Instant) -> Settled {
        match self.out.get_mut(&tag) {
            Some(held) if !held.settling => {
                held.until = held.until.max(until);
                Settled::Acked
            }
            _ => self.absent(tag),
        }
    }

    fn absent(&self, tag: u64) -> Settled {
        if tag == 0 || (tag > self.came && !self.early.contains(&tag)) {
            return Settled::NotPending;
        }
        if self.ended.contains(&tag) {
            return Settled::Stale;
        }
        Settled::AlreadySettled
    }

    /// Takes the deliveries whose lease has ended, begun to be settled, and what was never handed out in that time.
    pub(crate) fn lapsed(&mut self, now: Instant) -> (Vec<(u64, Held)>, Vec<Entry>) {
        let lapsed = self
            .out
            .iter_mut()
            .filter(|(_, held)| !held.settling && held.until <= now);
        let lapsed: Vec<_> = lapsed
            .map(|(tag, held)| {
                held.settling = true;
                (*tag, held.clone())
            })
            .collect();
        self.ended.extend(lapsed.iter().map(|(tag, _)| *tag));
        while self.ended.len() > ENDED {
            self.ended.pop_first();
        }
        let mut unseen = Vec::new();
        while self.buffer.front().is_some_and(|(_, until)| *until <= now) {
            unseen.extend(self.buffer.pop_front().map(|(entry, _)| entry));
        }
        (lapsed, unseen)
    }

    /// The highest of `acked` for which an ack that covers all before it covers nothing that is still open.
    pub(crate) fn covered(&self, acked: &[u64]) -> Option<u64> {
        let open = self.out.keys().next().copied();
        let unseen = self.buffer.iter().map(|(entry, _)| entry.tag).min();
        let lowest = open.into_iter().chain(unseen).min().unwrap_or(u64::MAX);
        let covered = |tag: &&u64| **tag < lowest && **tag <= self.came;
        acked.iter().filter(covered).max().copied()
    }
}
