//! Settling what a partition handed out.

use broker_core::{ReceiptRun, Settled};
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
        let tag = Tag::of(&run.first, 0);
        let (first, count) = (run.first.sequence, u64::from(run.len));
        if matches!(purpose, Purpose::Done) && self.window.settle_run(first, count, tag, who, now) {
            self.release(first, count);
            self.dirty = true;
            answer(purpose.answer(), run.len);
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
            let settled = match self.window.check(offset, self.kept.tag(&receipt), who, now) {
                Ok(()) => {
                    readied |= self.window.settle(offset, purpose, now);
                    if matches!(purpose, Purpose::Done) {
                        self.release(offset, 1);
                    }
                    self.dirty |= !matches!(purpose, Purpose::Extend(_));
                    purpose.answer()
                }
                Err(other) => other,
            };
            answer(settled, 1);
        }
        // There may be room for more.
        self.put_to_rest(now);
        readied
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
        let bytes = &mut self.bytes;
        self.kept.release(first, count, |chunk| {
            *bytes = bytes.saturating_sub(chunk.bytes);
        });
        if self.kept.is_empty() && self.window.next() < self.fetched {
            // What came in last was for other groups.
            self.window.pass_to(self.fetched);
        }
    }
}
