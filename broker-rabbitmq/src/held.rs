//! What a session holds: which of the channel's deliveries are out, and which single acks one can stand for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use broker_core::Settled;
use tokio::time::Instant;

use crate::entry::{Entries, Entry};
use crate::memory::{InHand, Memory, Twin};

/// How many ended leases are remembered, so that a late settlement is told apart from a second one.
const ENDED: usize = 4_096;

/// A delivery that a consumer has in hand.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    batch: Arc<Entries>,
    index: usize,
    until: Instant,
    /// That it is in hand, where there may be another like it.
    in_hand: Option<Arc<InHand>>,
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
    /// What came and has its like in hand.
    twins: VecDeque<(Entry, Instant)>,
    /// What came and is to be written anew with its count before it is handed out.
    uncounted: Vec<Entry>,
    out: BTreeMap<u64, Held>,
    /// What was taken from here and has not been told to the server yet.
    aside: BTreeSet<u64>,
    /// Leases that ended, the oldest first to be forgotten.
    ended: BTreeSet<u64>,
    /// All deliveries up to this one have come.
    came: u64,
    /// Deliveries that came before one with a lower number.
    early: BTreeSet<u64>,
}

impl Ledger {
    /// A delivery came that is not to be handed out.
    pub(crate) fn passed(&mut self, tag: u64) {
        if tag == self.came + 1 {
            self.came += 1;
            while self.early.remove(&(self.came + 1)) {
                self.came += 1;
            }
        } else {
            self.early.insert(tag);
        }
    }

    /// A delivery came.
    pub(crate) fn came(&mut self, entry: Entry, lease: Duration) {
        self.passed(entry.tag);
        if entry.uncounted {
            self.uncounted.push(entry);
        } else {
            self.buffer.push_back((entry, Instant::now() + lease));
        }
    }

    /// What waits for its like to be settled.
    pub(crate) fn twins(&self) -> impl Iterator<Item = &Entry> {
        self.twins.iter().map(|(entry, _)| entry)
    }

    /// A message goes back to the server as it is, which may hand it out again before this session is done with it.
    pub(crate) fn let_go(&mut self, tag: u64) {
        if let Some(held) = self.out.get_mut(&tag) {
            drop(held.in_hand.take());
        }
    }

    /// Takes what is to be written anew.
    pub(crate) fn uncounted(&mut self) -> Vec<Entry> {
        self.aside.extend(self.uncounted.iter().map(|entry| entry.tag));
        std::mem::take(&mut self.uncounted)
    }

    /// Hands out up to `max` of what came, and tells what of it is settled already.
    pub(crate) fn hand_out(
        &mut self,
        max: usize,
        lease: Duration,
        memory: &Arc<Memory>,
    ) -> (Option<Arc<Entries>>, Vec<u64>) {
        let (mut entries, mut in_hand, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        let mut waiting = std::mem::take(&mut self.twins);
        while entries.len() < max
            && let Some((mut entry, until)) = waiting.pop_front().or_else(|| self.buffer.pop_front())
        {
            match memory.twin(&mut entry) {
                Twin::None(held) => {
                    entries.push(entry);
                    in_hand.push(held);
                }
                Twin::InHand => self.twins.push_back((entry, until)),
                Twin::Settled => settled.push(entry.tag),
            }
        }
        self.twins.append(&mut waiting);
        if entries.is_empty() {
            return (None, settled);
        }
        let batch = Entries::new(entries);
        let until = Instant::now() + lease;
        for (index, (entry, in_hand)) in batch.iter().zip(in_hand).enumerate() {
            let held = Held {
                batch: Arc::clone(&batch),
                index,
                until,
                in_hand,
                settling: false,
            };
            self.out.insert(entry.tag, held);
        }
        (Some(batch), settled)
    }

    /// Takes all that came and was not handed out.
    pub(crate) fn unseen(&mut self) -> Vec<Entry> {
        let unseen = self.twins.drain(..).chain(self.buffer.drain(..));
        let unseen = unseen.map(|(entry, _)| entry);
        let unseen: Vec<_> = self.uncounted.drain(..).chain(unseen).collect();
        self.aside.extend(unseen.iter().map(|entry| entry.tag));
        unseen
    }

    /// Whether nothing is in hand or waits to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many deliveries are here.
    pub(crate) fn len(&self) -> usize {
        self.unseen_len() + self.twins.len() + self.out.len()
    }

    /// How many deliveries wait to be handed out.
    pub(crate) fn unseen_len(&self) -> usize {
        self.buffer.len() + self.uncounted.len()
    }

    /// Whether there is something to hand out.
    pub(crate) fn has_unseen(&self) -> bool {
        !self.buffer.is_empty() || !self.uncounted.is_empty()
    }

    /// Settles a delivery as done, which the server is to be told of.
    pub(crate) fn ack(&mut self, tag: u64) -> Result<Held, Settled> {
        match self.out.remove(&tag) {
            Some(held) if !held.settling => {
                self.aside.insert(tag);
                Ok(held)
            }
            Some(held) => {
                self.out.insert(tag, held);
                Err(Settled::AlreadySettled)
            }
            None => Err(self.absent(tag)),
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
    pub(crate) fn lapsed(&mut self, now: Instant, keeps_unseen: bool) -> (Vec<(u64, Held)>, Vec<Entry>) {
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
        while !keeps_unseen && self.buffer.front().is_some_and(|(_, until)| *until <= now) {
            unseen.extend(self.buffer.pop_front().map(|(entry, _)| entry));
        }
        while !keeps_unseen && self.twins.front().is_some_and(|(_, until)| *until <= now) {
            unseen.extend(self.twins.pop_front().map(|(entry, _)| entry));
        }
        self.aside.extend(unseen.iter().map(|entry| entry.tag));
        (lapsed, unseen)
    }

    /// What was handed out and not settled.
    pub(crate) fn out(&self) -> impl Iterator<Item = &Entry> {
        self.out.values().filter_map(Held::entry)
    }

    /// The server is told of these in some other way.
    pub(crate) fn forget(&mut self, tags: &[u64]) {
        for tag in tags {
            self.aside.remove(tag);
        }
    }

    /// The acks by which the server is told of `acked` at once, each with whether it covers all before it. One does as
    /// far as it covers nothing that is still open, unseen, or about to be told by somebody else.
    pub(crate) fn tell(&mut self, mut acked: Vec<u64>) -> Vec<(bool, u64)> {
        self.forget(&acked);
        let open = [self.out.keys().next(), self.aside.first()];
        let unseen = self.twins.iter().chain(&self.buffer).map(|(entry, _)| entry);
        let unseen = unseen.chain(&self.uncounted).map(|entry| entry.tag).min();
        let open = open.into_iter().flatten().copied().chain(unseen).min();
        let covers = |tag: &u64| open.is_none_or(|open| *tag < open) && *tag <= self.came;
        let covered = acked.iter().copied().filter(covers).max();
        if let Some(covered) = covered {
            acked.retain(|tag| *tag > covered);
        }
        let covered = covered.map(|tag| (true, tag));
        covered
            .into_iter()
            .chain(acked.into_iter().map(|tag| (false, tag)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::message::Delivery;

    const LEASE: Duration = Duration::from_secs(1);

    fn came(ledger: &mut Ledger, tags: &[u64]) {
        for tag in tags {
            let delivery = Delivery::mock(*tag, "".into(), "".into(), false, Vec::new());
            ledger.came(Entry::new(delivery, crate::config::QueueType::Quorum), LEASE);
        }
    }

    fn ack(ledger: &mut Ledger, tag: u64) -> Settled {
        ledger.ack(tag).map_or_else(|answer| answer, |_| Settled::Acked)
    }

    fn hand_out(ledger: &mut Ledger, max: usize) {
        ledger.hand_out(max, LEASE, &Arc::default());
    }

    fn handed_out(tags: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        came(&mut ledger, tags);
        hand_out(&mut ledger, usize::MAX);
        ledger
    }

    #[tokio::test]
    async fn an_ack_for_many_never_covers_one_that_is_open_unseen_or_not_come_yet() {
        let mut ledger = handed_out(&[1, 2, 3, 4]);
        for tag in [1, 2, 4] {
            assert_eq!(ack(&mut ledger, tag), Settled::Acked);
        }
        assert_eq!(ledger.tell(vec![1, 2, 4]), [(true, 2), (false, 4)], "3 is open");
        assert_eq!(ack(&mut ledger, 3), Settled::Acked);
        assert_eq!(ledger.tell(vec![3]), [(true, 3)]);

        let mut ledger = handed_out(&[2, 3]);
        assert_eq!(ack(&mut ledger, 2), Settled::Acked);
        assert_eq!(ledger.tell(vec![2]), [(false, 2)], "1 has not come");
        came(&mut ledger, &[1]);
        assert_eq!(ack(&mut ledger, 3), Settled::Acked);
        assert_eq!(ledger.tell(vec![3]), [(false, 3)], "1 was not handed out");
    }

    #[tokio::test]
    async fn an_ack_for_many_never_covers_one_that_somebody_else_is_about_to_tell() {
        let mut ledger = handed_out(&[1, 2, 3]);
        came(&mut ledger, &[4]);
        for tag in [1, 3] {
            assert_eq!(ack(&mut ledger, tag), Settled::Acked);
        }
        assert_eq!(ack(&mut ledger, 2), Settled::Acked);
        assert_eq!(
            ledger.tell(vec![1, 3]),
            [(true, 1), (false, 3)],
            "2 is on its way"
        );
        assert_eq!(ledger.tell(vec![2]), [(true, 2)]);
        assert_eq!(ledger.unseen().len(), 1);
        came(&mut ledger, &[5]);
        hand_out(&mut ledger, 1);
        assert_eq!(ack(&mut ledger, 5), Settled::Acked);
        assert_eq!(ledger.tell(vec![5]), [(false, 5)], "4 is being written elsewhere");
        assert_eq!(ledger.tell(vec![4]), [(true, 4)]);
    }

    #[tokio::test]
    async fn each_receipt_is_answered_for_what_became_of_it() {
        let mut ledger = handed_out(&[1, 2]);
        assert_eq!(ack(&mut ledger, 1), Settled::Acked);
        assert_eq!(ack(&mut ledger, 1), Settled::AlreadySettled);
        assert_eq!(ack(&mut ledger, 9), Settled::NotPending);
        assert_eq!(ack(&mut ledger, 0), Settled::NotPending);
        assert!(ledger.begin(2).is_ok());
        assert_eq!(
            ack(&mut ledger, 2),
            Settled::AlreadySettled,
            "while it is being refused"
        );
        ledger.end(2, false);
        assert_eq!(ack(&mut ledger, 2), Settled::Acked, "the refusal failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_once_unless_it_is_extended() {
        let mut ledger = handed_out(&[1, 2]);
        assert_eq!(ledger.extend(2, Instant::now() + LEASE * 2), Settled::Acked);
        tokio::time::advance(LEASE).await;
        let (lapsed, _) = ledger.lapsed(Instant::now(), false);
        assert_eq!(lapsed.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), [1]);
        assert!(ledger.lapsed(Instant::now(), false).0.is_empty());
        ledger.end(1, true);
        assert_eq!(ack(&mut ledger, 1), Settled::Stale);
        assert_eq!(ledger.extend(1, Instant::now()), Settled::Stale);
        assert_eq!(ack(&mut ledger, 2), Settled::Acked);
    }
}
