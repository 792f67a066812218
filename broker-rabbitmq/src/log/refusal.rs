//! Refusing deliveries: they stay here until they come again, or lie with the dead letters before they are settled.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::Disposition;
use broker_core::{Error, Failure, ReceiptRun, Result, Settled, Settlements};
use broker_window::{Purpose, Tag};

use super::Member;
use crate::letter::{self, Burial};
use crate::settle::{millis, now};

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
            Disposition::GiveBack => self.settle_for_good(runs, Purpose::GiveBack).await,
            Disposition::Discard => self.ack(runs).await.map(|answers| nacked(&answers)),
            Disposition::Requeue { delay } => {
                let due = self.group.now().after(delay);
                self.settle_for_good(runs, Purpose::Requeue(due, SystemTime::now()))
                    .await
            }
            Disposition::DeadLetter | Disposition::WornOut => {
                let (member, runs, failure) = (Arc::clone(self), runs.to_vec(), failure.clone());
                // A dropped nack goes on: half of it would leave the message in two places.
                let burying = tokio::spawn(async move { member.bury(&runs, disposition, &failure).await });
                burying.await.unwrap_or_else(|_| Err(Error::closed()))
            }
        }
    }

    async fn bury(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        let limit = self.client.context.config.operation_timeout;
        // No lease ends meanwhile.
        self.extend(runs, limit.saturating_mul(2));
        let (group, now) = (&self.group, now());
        let mut found = Vec::new();
        {
            let mut state = group.state();
            let moment = group.now();
            if let Some(session) = state.live() {
                let epoch = session.epoch;
                let own = runs.iter().filter(|run| Tag::epoch(&run.first) == epoch);
                for receipt in own.flat_map(|run| run.iter()) {
                    let tag = Tag::of(&receipt, 0);
                    let check = session.window.check(receipt.sequence, tag, self.who, moment);
                    let kept = session.kept.find(receipt.sequence);
                    if let (Ok(()), Some((entries, index))) = (check, kept) {
                        let failed = session.window.first_failed(receipt.sequence).map(millis);
                        found.push((Arc::clone(entries), index, receipt.attempt, failed));
                    }
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
        self.settle_for_good(runs, Purpose::Done)
            .await
            .map(|answers| nacked(&answers))
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
