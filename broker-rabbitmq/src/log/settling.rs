//! Settling what a session handed out.

use broker_core::{ReceiptRun, Result, Settled, Settlements};
use broker_window::{Moment, Purpose, Tag, Who};

use super::Member;
use super::session::Session;
use super::writing::Change;

impl Session {
    /// Settles a run of receipts; adds an answer for each. Answers whether a message became ready.
    fn settle(
        &mut self,
        run: &ReceiptRun,
        (who, purpose, now): (Who, Purpose, Moment),
        answers: &mut Settlements,
    ) -> bool {
        let (first, count) = (run.first.sequence, u64::from(run.len));
        let is_done = matches!(purpose, Purpose::Done);
        if is_done
            && self
                .window
                .settle_run(first, count, Tag::of(&run.first, 0), who, now)
        {
            self.release(first, count);
            self.version += 1;
            answers.append(&Settlements::all(purpose.answer(), run.len as usize));
            return false;
        }
        let mut readied = false;
        for receipt in run.iter() {
            let offset = receipt.sequence;
            if let Err(other) = self.window.check(offset, Tag::of(&receipt, 0), who, now) {
                answers.push(other);
                continue;
            }
            answers.push(purpose.answer());
            readied |= self.window.settle(offset, purpose, now);
            if is_done {
                self.release(offset, 1);
            }
            self.version += u64::from(!matches!(purpose, Purpose::Extend(_)));
        }
        readied
    }
}

impl Member {
    /// Settles; one answer per receipt, in order, and the change that has to be written down.
    pub(super) fn settle(&self, runs: &[ReceiptRun], purpose: Purpose) -> (Settlements, Option<Change>) {
        let now = self.group.now();
        let mut answers = Settlements::all(purpose.answer(), 0);
        let mut state = self.group.state();
        state.touch(&self.member.consumer);
        let mut readied = state.session.as_ref().is_some_and(Session::is_full);
        let mut change = None;
        for run in runs {
            let epoch = Tag::epoch(&run.first);
            match state.live().filter(|session| session.epoch == epoch) {
                _ if run.first.attempt == 0 => {
                    answers.append(&Settlements::all(Settled::NotPending, run.len as usize));
                }
                Some(session) => {
                    readied |= session.settle(run, (self.who, purpose, now), &mut answers);
                    change = Some(Change {
                        owner: session.owner,
                        version: session.version,
                    });
                }
                None => {
                    let past = state.past.iter().find(|past| past.epoch == epoch);
                    for receipt in run.iter() {
                        let settled = past.map(|past| past.settled(&receipt, self.who, now));
                        answers.push(settled.unwrap_or(Settled::Stale));
                    }
                }
            }
        }
        drop(state);
        if readied {
            self.group.arrived.notify_waiters();
        }
        let change = change.filter(|_| answers.effective() > 0);
        (answers, change)
    }

    /// Settles, and answers once that is written down.
    pub(super) async fn settle_for_good(&self, runs: &[ReceiptRun], purpose: Purpose) -> Result<Settlements> {
        let (answers, change) = self.settle(runs, purpose);
        if let Some(change) = change {
            let _soon = WrittenAnyway(self);
            self.group.write_down(&self.client, change).await?;
        }
        Ok(answers)
    }
}

/// What was settled is written down by somebody, also where nobody waits for it any more.
struct WrittenAnyway<'a>(&'a Member);

impl Drop for WrittenAnyway<'_> {
    fn drop(&mut self) {
        let is_open = {
            let state = self.0.group.state();
            let session = state.session.as_ref();
            session.is_some_and(|session| session.saved < session.version)
        };
        if is_open {
            self.0.group.write_down_soon();
        }
    }
}
