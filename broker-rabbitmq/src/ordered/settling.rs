//! Settling what a session handed out.

use broker_core::{Receipt, ReceiptRun, Settled, Settlements};
use broker_window::{Moment, Purpose, Tag, Who};

use super::session::Session;
use crate::meta::Identity;
use crate::told::{Told, tell};

/// What was settled as done: the server is told, and may not have heard.
pub(crate) struct Done {
    /// Which messages, and at which attempt.
    pub(super) messages: Vec<(Identity, u32)>,
    pub(super) told: Told,
}

impl Session {
    /// Settles; adds an answer for each receipt. Answers whether a message became ready, and what was settled as done.
    pub(super) fn settle(
        &mut self,
        run: &ReceiptRun,
        (who, purpose, now): (Who, Purpose, Moment),
        answers: &mut Settlements,
        done: &mut Vec<(u64, Option<Identity>, u32)>,
    ) -> bool {
        let is_done = matches!(purpose, Purpose::Done);
        let first = run.first.sequence;
        let swift = is_done && run.first.attempt == 1 && {
            let tag = Tag::from_receipt(1, holder(run.first));
            self.window.settle_run(first, u64::from(run.len), tag, who, now)
        };
        let mut readied = false;
        for receipt in run.iter() {
            let tag = receipt.sequence;
            let answer = match swift {
                true => Ok(()),
                false => self.window.check(tag, self.tag(receipt), who, now),
            };
            if let Err(other) = answer {
                answers.push(other);
                continue;
            }
            answers.push(usual(purpose));
            if is_done {
                done.push((tag, self.identity(tag), receipt.attempt));
            }
            if !swift {
                readied |= self.window.settle(tag, purpose, now);
            }
            if is_done {
                self.release(tag);
            }
        }
        readied
    }

    /// Tells the server of what is done: with one ack for many as far as all before it is settled.
    pub(super) fn tell(&self, done: Vec<(u64, Option<Identity>, u32)>) -> Option<Done> {
        if done.is_empty() {
            return None;
        }
        let low = self.window.low();
        let covered = done.iter().map(|(tag, ..)| *tag).filter(|tag| *tag < low).max();
        let apart = done.iter().map(|(tag, ..)| *tag);
        let apart = apart.filter(|tag| covered.is_none_or(|covered| *tag > covered));
        let acks = covered.map(|tag| (true, tag)).into_iter();
        let acks = acks.chain(apart.map(|tag| (false, tag))).collect();
        let messages = done
            .iter()
            .filter_map(|(_, identity, attempt)| Some(((*identity)?, *attempt)));
        Some(Done {
            messages: messages.collect(),
            told: tell(&self.channel, acks),
        })
    }

    /// What the window knows the delivery as: it counts those of this session.
    pub(super) fn tag(&self, receipt: Receipt) -> Tag {
        let before = self
            .find(receipt.sequence)
            .map_or(0, |(entries, index)| entries.before(index));
        Tag::from_receipt(receipt.attempt.saturating_sub(before), holder(receipt))
    }

    fn identity(&self, tag: u64) -> Option<Identity> {
        let (entries, index) = self.find(tag)?;
        entries.get(index)?.identity()
    }
}

fn holder(receipt: Receipt) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
    let holder = receipt.fence as u32;
    holder
}

/// What settling answers where it is done.
pub(super) fn usual(purpose: Purpose) -> Settled {
    match purpose {
        Purpose::Done | Purpose::Extend(_) => Settled::Acked,
        Purpose::Requeue(..) | Purpose::GiveBack => Settled::Nacked,
    }
}
