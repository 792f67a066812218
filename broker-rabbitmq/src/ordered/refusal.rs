//! Refusing deliveries: they stay here until they come again, or lie with the dead letters before they are settled.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::base::Disposition;
use broker_core::{Error, Failure, ReceiptRun, Result, Settled, Settlements};
use broker_window::Purpose;

use super::Member;
use crate::letter::{self, Burial};
use crate::memory::Fate;
use crate::settle::{millis, now};
use crate::told::{gone, tell};

impl Member {
    /// Refuses deliveries.
    pub(crate) async fn nack(
        self: &Arc<Self>,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        self.client.check_open()?;
        match disposition {
            Disposition::GiveBack => Ok(self.settle(runs, Purpose::GiveBack).0),
            Disposition::Discard => self.ack(runs).await.map(|answers| nacked(&answers)),
            Disposition::Requeue { .. } | Disposition::DeadLetter | Disposition::WornOut => {
                let (member, runs, failure) = (Arc::clone(self), runs.to_vec(), failure.clone());
                // A dropped nack goes on: half of it would leave the message in two places.
                let refusing = tokio::spawn(async move {
                    match disposition {
                        Disposition::Requeue { delay } => member.put_back(&runs, delay).await,
                        _ => member.bury(&runs, disposition, &failure).await,
                    }
                });
                refusing.await.unwrap_or_else(|_| Err(Error::closed()))
            }
        }
    }

    /// Holds deliveries until their delay has passed, after it is written down how often they were handed out.
    async fn put_back(&self, runs: &[ReceiptRun], delay: Duration) -> Result<Settlements> {
        if self.begin(runs).await? {
            {
                let mut state = self.group.state();
                if let Some(session) = &mut state.session {
                    let tags = session.own(runs).map(|receipt| receipt.sequence);
                    let open = tags.filter(|tag| session.kept.find(*tag).is_some());
                    let open: Vec<_> = open.collect();
                    session.noted.extend(open);
                    session.is_dirty = true;
                }
            }
            self.group.write_down(&self.client).await?;
        }
        let due = self.group.now().after(delay);
        Ok(self.settle(runs, Purpose::Requeue(due, SystemTime::now())).0)
    }

    /// Lets no lease end meanwhile, and sees that the server hears this session, so that it has given nothing of it to
    /// others. Answers whether there is anything to refuse.
    async fn begin(&self, runs: &[ReceiptRun]) -> Result<bool> {
        let limit = self.client.context.config.operation_timeout;
        let until = Purpose::Extend(self.group.now().after(limit.saturating_mul(2)));
        if self.settle(runs, until).0.effective() == 0 {
            return Ok(false);
        }
        let told = {
            let state = self.group.state();
            let session = state.session.as_ref().ok_or_else(gone)?;
            tell(&session.channel, Vec::new())
        };
        let told = tokio::time::timeout(limit, told).await;
        told.unwrap_or_else(|_| Err(gone()))?;
        Ok(true)
    }

    async fn bury(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        if self.begin(runs).await? {
            let (group, now) = (&self.group, now());
            let mut found = Vec::new();
            {
                let state = group.state();
                let session = state.session.as_ref().ok_or_else(gone)?;
                for receipt in session.own(runs) {
                    let tag = session.kept.tag(&receipt);
                    let check = session.window.check(receipt.sequence, tag, self.who, group.now());
                    let kept = session.kept.find(receipt.sequence);
                    if let (Ok(()), Some((entries, index))) = (check, kept) {
                        let failed = session.window.first_failed(receipt.sequence).map(millis);
                        found.push((Arc::clone(entries), index, receipt.attempt, failed));
                    }
                }
            }
            let mut letters = Vec::with_capacity(found.len());
            for (entries, index, attempt, failed) in &found {
                let Some(entry) = entries.get(*index) else {
                    continue;
                };
                let burial = Burial {
                    queue: &group.queue,
                    consumer: &self.member.consumer,
                    attempts: disposition.attempts(*attempt),
                    first_failed: entry.meta.first_failed.or(*failed),
                    failure,
                    now,
                };
                letters.push(letter::bury(&self.client, entry, burial).await?);
            }
            self.client.put(letters).await?;
        }
        let (answers, done) = self.settle(runs, Purpose::Done);
        // Should the acks be lost on their way, the originals come again and are settled again.
        if let Some(done) = &done {
            let moved = done.messages.iter().map(|(identity, _)| *identity);
            self.group.memory.note(moved, Fate::Moved);
        }
        let _ = self.hear(done, Fate::Moved).await;
        Ok(nacked(&answers))
    }
}

/// What was asked to be refused was refused.
fn nacked(answers: &Settlements) -> Settlements {
    let mut nacked = Settlements::all(Settled::Nacked, 0);
    for answer in answers.iter() {
        nacked.push(match answer {
            Settled::Acked => Settled::Nacked,
            other => other,
        });
    }
    nacked
}
