//! Settling what a partition handed out.

use broker_core::{Receipt, ReceiptRun, Settled};
use broker_window::{Moment, Purpose, Tag, Who};

use super::Partition;
use crate::places::is_retry;

impl Partition {
    /// Settles a run of receipts; appends an answer for each. Answers whether a message became ready.
    pub(crate) fn settle(
        &mut self,
        run: ReceiptRun,
        who: Who,
        purpose: Purpose,
        now: Moment,
        mut answer: impl FnMut(Settled, u32),
    ) -> bool {
        if is_retry(self.number) {
            return self.settle_each(run, who, purpose, now, answer);
        }
        let tag = tag(run.first.attempt, run.first);
        let (first, count) = (run.first.sequence, u64::from(run.len));
        if matches!(purpose, Purpose::Done) && self.window.settle_run(first, count, tag, who, now) {
            self.release(first, count);
            self.dirty = true;
            answer(usual(purpose), run.len);
            return false;
        }
        self.settle_each(run, who, purpose, now, answer)
    }

    fn settle_each(
        &mut self,
        run: ReceiptRun,
        who: Who,
        purpose: Purpose,
        now: Moment,
        mut answer: impl FnMut(Settled, u32),
    ) -> bool {
        let mut readied = false;
        for receipt in run.iter() {
            let offset = receipt.sequence;
            let settled = match self.window.check(offset, self.tag(receipt), who, now) {
                Ok(()) => {
                    readied |= self.window.settle(offset, purpose, now);
                    if matches!(purpose, Purpose::Done) {
                        self.release(offset, 1);
                    }
                    self.dirty |= !matches!(purpose, Purpose::Extend(_));
                    usual(purpose)
                }
                Err(other) => other,
            };
            answer(settled, 1);
        }
        // There may be room for more.
        self.put_to_rest(now);
        readied
    }

    /// What the window knows the delivery as: of a retry topic's message it counts those since it was moved.
    pub(crate) fn tag(&self, receipt: Receipt) -> Tag {
        let mut before = 0;
        if is_retry(self.number)
            && let Some((chunk, index)) = self.find(receipt.sequence)
        {
            before = chunk.retried(index).map_or(0, |retried| retried.attempts);
        }
        tag(receipt.attempt.saturating_sub(before), receipt)
    }

    /// What settling a delivery of an earlier ownership answers.
    pub(crate) fn settled_before(&self, offset: u64) -> Settled {
        if !self.moved && self.window.is_settled(offset) {
            return Settled::AlreadySettled;
        }
        Settled::Stale
    }

    /// Frees what is settled.
    fn release(&mut self, first: u64, count: u64) {
        let end = first + count;
        let mut at = self.held.partition_point(|held| held.first + held.len <= first);
        while let Some(held) = self.held.get_mut(at).filter(|held| held.first < end) {
            let overlap = (held.first + held.len).min(end) - held.first.max(first);
            held.left = held.left.saturating_sub(overlap);
            if held.left == 0
                && let Some(chunk) = held.chunk.take()
            {
                self.bytes = self.bytes.saturating_sub(chunk.bytes);
            }
            at += 1;
        }
        while self.held.front().is_some_and(|held| held.chunk.is_none()) {
            self.held.pop_front();
        }
        if self.held.is_empty() && self.window.next() < self.fetched {
            // What came in last was for other groups.
            self.window.pass_to(self.fetched);
        }
    }
}

fn tag(attempt: u32, receipt: Receipt) -> Tag {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
    let holder = receipt.fence as u32;
    Tag::from_receipt(attempt, holder)
}

/// What settling answers where it is done.
pub(crate) fn usual(purpose: Purpose) -> Settled {
    match purpose {
        Purpose::Done | Purpose::Extend(_) => Settled::Acked,
        Purpose::Requeue(..) | Purpose::GiveBack => Settled::Nacked,
    }
}
