//! Settling what a session handed out.

use std::collections::HashMap;

use broker_core::{Receipt, ReceiptRun, Settled, Settlements};
use broker_window::{Chunk as _, Moment, Purpose, Tag, Who, Window};

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
            let tag = Tag::of(&run.first, 0);
            self.window.settle_run(first, u64::from(run.len), tag, who, now)
        };
        let mut readied = false;
        for receipt in run.iter() {
            let tag = receipt.sequence;
            let answer = match swift {
                true => Ok(()),
                false => self.window.check(tag, self.kept.tag(&receipt), who, now),
            };
            if let Err(other) = answer {
                answers.push(other);
                continue;
            }
            answers.push(purpose.answer());
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

    /// Those of the receipts that are for deliveries of this session.
    pub(super) fn own(&self, runs: &[ReceiptRun]) -> impl Iterator<Item = Receipt> {
        let own = runs.iter().filter(|run| Tag::epoch(&run.first) == self.epoch);
        own.flat_map(|run| run.iter())
    }

    fn identity(&self, tag: u64) -> Option<Identity> {
        let (entries, index) = self.kept.find(tag)?;
        entries.get(index)?.identity()
    }
}

/// A session that is over, and gave back what it had.
pub(crate) struct Past {
    pub(super) epoch: u32,
    window: Window,
    /// How often messages that are not settled were handed out before that session, where they were.
    before: HashMap<u64, u32>,
}

impl Past {
    /// What settling a delivery of it answers.
    pub(super) fn settled(&self, receipt: Receipt, who: Who, now: Moment) -> Settled {
        let tag = receipt.sequence;
        let before = self.before.get(&tag).copied().unwrap_or(0);
        // What was in hand when it ended goes to whoever is next.
        self.window
            .check(tag, Tag::of(&receipt, before), who, now)
            .err()
            .unwrap_or(Settled::Stale)
    }
}

impl Session {
    /// What is left when it is over.
    pub(super) fn into_past(mut self) -> Past {
        let unsettled = self.window.unsettled().filter_map(|(tag, _)| {
            let (entries, index) = self.kept.find(tag)?;
            Some((tag, entries.before(index)))
        });
        let before = unsettled.filter(|(_, before)| *before > 0).collect();
        Past {
            epoch: self.epoch,
            window: std::mem::replace(&mut self.window, Window::new(1, 0)),
            before,
        }
    }
}
