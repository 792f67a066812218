//! How a consumer refuses: again later, to the dead letters, or given back, by the broker's policy.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::attempts::NEVER;
use super::consumer::Consumer;
use super::nack_options::{Fate, NackOptions};
use super::settle::count;
use super::spans::Settling;
use crate::base::{BoxFuture, Deliveries, Disposition, Lot};
use crate::values::{Capabilities, Failure, Receipt, ReceiptRun, Result, Settled, Settlements};

/// Refusing.
impl Consumer {
    /// Refuses one delivery by the caller's wish and the broker's policy.
    pub(super) async fn nack(self: &Arc<Self>, receipt: Receipt, options: &NackOptions) -> Result<Settled> {
        let runs = [ReceiptRun::from(receipt)];
        let answer = self.nack_runs(&runs, receipt.attempt, options).await?;
        Ok(answer.get(0).unwrap_or(Settled::NotPending))
    }

    /// Refuses deliveries that all are at `attempt`.
    pub(super) async fn nack_runs(
        self: &Arc<Self>,
        runs: &[ReceiptRun],
        attempt: u32,
        options: &NackOptions,
    ) -> Result<Settlements> {
        self.check_settles(Capabilities::MESSAGE_REJECTION, "nack")?;
        self.flush().await?;
        let _settling = Settling::begin(self, "nack", count(runs));
        self.refuse(runs, self.disposition(attempt, options.fate), &options.failure)
            .await
    }

    /// Hands back what was not handled: at once where the broker can, else in the background.
    pub(super) fn give_back(self: &Arc<Self>, runs: SmallVec<[ReceiptRun; 2]>) {
        if !self.give_back_at_once(&runs) {
            let consumer = Arc::clone(self);
            self.shared
                .spawn(Box::pin(async move { consumer.give_back_slowly(&runs).await }));
        }
    }

    /// Hands back what was not handled, and waits until it is done.
    pub(super) async fn give_back_now(&self, runs: &[ReceiptRun]) {
        if !self.give_back_at_once(runs) {
            self.give_back_slowly(runs).await;
        }
    }

    fn give_back_at_once(&self, runs: &[ReceiptRun]) -> bool {
        if runs.is_empty() || !self.settles() {
            return true;
        }
        self.release(count(runs));
        let can = || {
            self.shared
                .base
                .capabilities()
                .contains(Capabilities::MESSAGE_REJECTION)
        };
        self.endpoint.try_give_back(runs) || !can()
    }

    async fn give_back_slowly(&self, runs: &[ReceiptRun]) {
        // Where this fails the lease ends by itself and the messages go to another consumer then.
        let answer = self
            .refuse(runs, Disposition::GiveBack, &Failure::default())
            .await;
        if let Err(error) = answer {
            tracing::debug!(%error, "prefetched messages were not given back");
        }
    }

    pub(super) fn worn_out(&self, deliveries: &Deliveries) -> bool {
        let limit = self.max_attempts;
        deliveries.lots().iter().any(|lot| lot.max_attempt() > limit)
            && self.settles()
            && self
                .shared
                .base
                .capabilities()
                .contains(Capabilities::MESSAGE_REJECTION)
    }

    /// Settles for good what was delivered too often without being settled, as when it kills its consumer each time.
    ///
    /// What can't be settled so stays, and comes again when its lease ends; the rest is handed out all the same.
    ///
    /// Boxed, as it is rare: every read would carry it along otherwise.
    pub(super) fn bury(&self, deliveries: Deliveries) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.bury_worn_out(deliveries))
    }

    async fn bury_worn_out(&self, deliveries: Deliveries) -> Result<Deliveries> {
        let limit = self.max_attempts;
        let (mut kept, mut worn) = (Deliveries::new(), Vec::new());
        for lot in deliveries.into_lots() {
            sort_out(&lot, limit, &mut kept, &mut worn);
        }
        let failure = Failure::new(format!("delivered {limit} times and never settled"));
        let disposition = match self.disposition(limit, Fate::DeadLetter) {
            Disposition::DeadLetter => Disposition::WornOut,
            other => other,
        };
        match self.refuse(&worn, disposition, &failure).await {
            Err(error) if kept.is_empty() => Err(error),
            Err(error) => {
                tracing::warn!(%error, count = count(&worn), "worn-out messages were not dead-lettered; they come again");
                Ok(kept)
            }
            Ok(_) => Ok(kept),
        }
    }

    async fn refuse(
        &self,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        let answer = self
            .shared
            .settle("nack", || self.endpoint.nack(runs, disposition, failure))
            .await?;
        let counters = &self.shared.counters;
        match disposition {
            Disposition::Requeue { .. } => counters.nacked.add(answer.effective()),
            Disposition::DeadLetter | Disposition::WornOut => counters.dead.add(answer.effective()),
            Disposition::Discard => counters.discarded.add(answer.effective()),
            Disposition::GiveBack => {}
        }
        Ok(answer)
    }

    fn disposition(&self, attempt: u32, fate: Fate) -> Disposition {
        let config = &self.shared.config;
        let last = attempt >= self.max_attempts;
        match fate {
            Fate::Retry if !last => Disposition::Requeue {
                delay: jittered(config.delay_after(attempt).min(NEVER), config.jitter),
            },
            Fate::RetryAfter(delay) if !last => Disposition::Requeue {
                delay: delay.min(NEVER),
            },
            Fate::Retry | Fate::RetryAfter(_) | Fate::DeadLetter => {
                let kept = config.enable_dlq
                    && self
                        .shared
                        .base
                        .capabilities()
                        .contains(Capabilities::DEAD_LETTER_QUEUE);
                if kept {
                    Disposition::DeadLetter
                } else {
                    Disposition::Discard
                }
            }
            Fate::Discard => Disposition::Discard,
            Fate::GiveBack => Disposition::GiveBack,
        }
    }
}

/// Shortens a wait by a random part of up to half.
fn jittered(delay: Duration, jitter: bool) -> Duration {
    if jitter {
        delay.mul_f64(1.0 - fastrand::f64() / 2.0)
    } else {
        delay
    }
}

/// Parts a lot into what is handed out, in its order, and the receipts of what was delivered more than `limit` times.
fn sort_out(lot: &Lot, limit: u32, kept: &mut Deliveries, worn: &mut Vec<ReceiptRun>) {
    let mut from = 0;
    for (index, receipt) in (0..lot.len()).filter_map(|index| Some((index, lot.receipt(index)?))) {
        if receipt.attempt > limit {
            kept.push(lot.part(from, index - from));
            from = index + 1;
            if !worn.last_mut().is_some_and(|run| run.extend(receipt)) {
                worn.push(receipt.into());
            }
        }
    }
    kept.push(lot.part(from, lot.len() - from));
}
