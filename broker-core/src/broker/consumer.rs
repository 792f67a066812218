//! One member of a group, or one independent reader: reading and settling with the broker's policies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::Notify;

use super::ack_buffer::AckBuffer;
use super::nack_options::{Fate, NackOptions};
use super::shared::Shared;
use crate::base::{Deliveries, Disposition, Lot, Membership, ReadEndpoint};
use crate::values::{Capabilities, Failure, Receipt, ReceiptRun, Result, Settled, Settlements};

/// How long an ack may wait for company while its consumer does not read.
const ACK_LINGER: Duration = Duration::from_millis(10);

/// Acks that are waiting are sent without a read when there are this many.
const ACK_BATCH: usize = 256;

/// One member of a group, or one independent reader.
pub(super) struct Consumer {
    pub(super) shared: Arc<Shared>,
    pub(super) member: Membership,
    endpoint: Arc<dyn ReadEndpoint>,
    settles: bool,
    acks: Mutex<AckBuffer>,
    /// Whether a task will send the waiting acks soon.
    flushing: AtomicBool,
    /// Deliveries handed out and neither settled nor dropped.
    outstanding: AtomicUsize,
    /// Told when `outstanding` goes down and somebody waits for that.
    pub(super) freed: Notify,
    waiting: AtomicUsize,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, member: Membership, endpoint: Arc<dyn ReadEndpoint>) -> Self {
        let acks = shared
            .base
            .capabilities()
            .contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        Self {
            shared,
            member,
            settles: acks && endpoint.settles(),
            endpoint,
            acks: Mutex::default(),
            flushing: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether deliveries want settling: those of an independent reader, or of a broker without acks, do not.
    pub(super) fn settles(&self) -> bool {
        self.settles
    }

    /// Whether a read may wait for messages.
    pub(super) fn can_wait(&self) -> bool {
        self.shared
            .base
            .capabilities()
            .contains(Capabilities::BLOCKING_READ)
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Hands out what is there at once, after sending the waiting acks; `None` where that needs waiting.
    #[inline]
    pub(super) fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        if let Err(error) = self.shared.admit("read") {
            return Some(Err(error));
        }
        if !self.try_flush() {
            return None;
        }
        let answer = self.endpoint.try_read(max)?;
        match &answer {
            // One that was delivered too often has to be dead-lettered first, which may wait.
            Ok(deliveries) if self.worn_out(deliveries) => {
                self.try_give_back(deliveries);
                return None;
            }
            Ok(deliveries) => self.count_out(deliveries),
            Err(_) => {}
        }
        Some(answer.map_err(|error| error.operation("read").provider(self.shared.provider)))
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    pub(super) async fn read(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        self.shared.check_open("read")?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        self.flush().await?;
        let until = tokio::time::Instant::now() + wait.min(Duration::from_secs(86_400 * 365));
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let deliveries = self
                .shared
                .call_waiting("read", left, || self.endpoint.read(max, left))
                .await?;
            let before = deliveries.len();
            let deliveries = if self.worn_out(&deliveries) {
                self.bury(deliveries).await?
            } else {
                deliveries
            };
            if before > 0 && deliveries.is_empty() {
                // All of them were worn out; what the caller waits for may still come.
                continue;
            }
            self.count_out(&deliveries);
            return Ok(deliveries);
        }
    }

    /// Settles now, the waiting acks too; answers for `runs`. The caller releases them.
    pub(super) async fn ack(&self, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.shared.need(Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack")?;
        self.flush().await?;
        let answer = match self.endpoint.try_ack(runs) {
            Some(answer) => answer.map_err(|error| error.operation("ack").provider(self.shared.provider))?,
            None => self.shared.call("ack", || self.endpoint.ack(runs)).await?,
        };
        self.count_acked(&answer);
        Ok(answer)
    }

    /// Settles soon: with the next read, with enough others, or after a few milliseconds.
    #[inline]
    pub(super) fn ack_later(self: &Arc<Self>, receipt: Receipt) {
        let waiting = self.acks().push(receipt);
        if waiting >= ACK_BATCH {
            self.try_flush();
        }
        if !self.flushing.load(Ordering::Relaxed) {
            self.flush_soon();
        }
    }

    /// Settles soon, by runs.
    pub(super) fn ack_runs_later(self: &Arc<Self>, runs: &[ReceiptRun]) {
        self.acks().extend(runs);
        if !self.flushing.load(Ordering::Relaxed) {
            self.flush_soon();
        }
    }

    /// Sends the waiting acks and waits until the broker has them.
    pub(super) async fn flush(&self) -> Result<()> {
        if self.try_flush() {
            return Ok(());
        }
        let runs: Vec<_> = {
            let mut acks = self.acks();
            let runs = acks.runs().to_vec();
            acks.clear();
            runs
        };
        // Should this future be dropped, or the call fail, the receipts go back: a lost ack is a duplicate.
        let mut unsent = Unsent { consumer: self, runs };
        let answer = self
            .shared
            .call("ack", || self.endpoint.ack(&unsent.runs))
            .await?;
        unsent.runs.clear();
        self.count_acked(&answer);
        self.release(answer.len());
        Ok(())
    }

    /// Refuses one delivery by the caller's wish and the broker's policy.
    pub(super) async fn nack(&self, receipt: Receipt, options: &NackOptions) -> Result<Settled> {
        let runs = [ReceiptRun::from(receipt)];
        let answer = self.nack_runs(&runs, receipt.attempt, options).await?;
        Ok(answer.get(0).unwrap_or(Settled::NotPending))
    }

    /// Refuses deliveries that all are at `attempt`.
    pub(super) async fn nack_runs(
        &self,
        runs: &[ReceiptRun],
        attempt: u32,
        options: &NackOptions,
    ) -> Result<Settlements> {
        self.shared.need(Capabilities::MESSAGE_REJECTION, "nack")?;
        self.flush().await?;
        self.refuse(runs, self.disposition(attempt, options.fate), &options.failure)
            .await
    }

    /// Hands back what was not handled: at once where the broker can, else in the background.
    pub(super) fn give_back(self: &Arc<Self>, runs: SmallVec<[ReceiptRun; 2]>) {
        if runs.is_empty() || !self.settles() {
            return;
        }
        self.release(runs.iter().map(|run| run.len as usize).sum());
        if self.endpoint.try_give_back(&runs)
            || !self
                .shared
                .base
                .capabilities()
                .contains(Capabilities::MESSAGE_REJECTION)
        {
            return;
        }
        let consumer = Arc::clone(self);
        self.shared.spawn(async move {
            let failure = Failure::default();
            let call = || consumer.endpoint.nack(&runs, Disposition::GiveBack, &failure);
            // Where this fails the lease ends by itself and the messages go to another consumer then.
            if let Err(error) = consumer.shared.call("nack", call).await {
                tracing::debug!(%error, "prefetched messages were not given back");
            }
        });
    }

    /// Deliveries left somebody's hands.
    pub(super) fn release(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.shared.counters.released.add(count);
        let _ = self
            .outstanding
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                Some(held.saturating_sub(count))
            });
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Waits until fewer than `limit` deliveries are out.
    pub(super) async fn room(&self, limit: usize) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _leave = Leave(&self.waiting);
            if self.outstanding() < limit || self.shared.check_open("read").is_err() {
                return;
            }
            freed.await;
        }
    }

    /// Leaves the group.
    pub(super) async fn leave(&self) -> Result<()> {
        self.flush().await?;
        self.shared.call("leave", || self.endpoint.leave()).await
    }

    fn acks(&self) -> MutexGuard<'_, AckBuffer> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the waiting acks if that needs no waiting; answers whether none are left.
    #[inline]
    fn try_flush(&self) -> bool {
        let mut acks = self.acks();
        if acks.is_empty() {
            return true;
        }
        match self.endpoint.try_ack(acks.runs()) {
            Some(Ok(answer)) => {
                acks.clear();
                drop(acks);
                self.count_acked(&answer);
                self.release(answer.len());
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    fn flush_soon(self: &Arc<Self>) {
        if self.flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let consumer = Arc::clone(self);
        let spawned = self.shared.spawn(async move {
            tokio::time::sleep(ACK_LINGER).await;
            consumer.flushing.store(false, Ordering::Release);
            if let Err(error) = consumer.flush().await {
                tracing::warn!(%error, stream = %consumer.member.stream, group = %consumer.member.group, "acks were not sent");
            }
        });
        if !spawned {
            // Outside of a runtime nothing can wait: what can be sent at once is, the rest goes with the next read.
            self.flushing.store(false, Ordering::Release);
            self.try_flush();
        }
    }

    fn count_out(&self, deliveries: &Deliveries) {
        let count = deliveries.len();
        if count == 0 {
            return;
        }
        let counters = &self.shared.counters;
        counters.delivered.add(count);
        let again: usize = deliveries
            .lots()
            .iter()
            .filter(|lot| lot.max_attempt() > 1)
            .map(redelivered)
            .sum();
        if again > 0 {
            counters.redelivered.add(again);
        }
        if self.settles() {
            self.outstanding.fetch_add(count, Ordering::AcqRel);
        } else {
            counters.released.add(count);
        }
        tracing::trace!(stream = %self.member.stream, group = %self.member.group, count, "delivered");
    }

    fn count_acked(&self, answer: &Settlements) {
        self.shared.counters.acked.add(answer.effective());
    }

    fn worn_out(&self, deliveries: &Deliveries) -> bool {
        let limit = self.shared.config.max_attempts();
        deliveries.lots().iter().any(|lot| lot.max_attempt() > limit)
            && self
                .shared
                .base
                .capabilities()
                .contains(Capabilities::MESSAGE_REJECTION)
    }

    /// Settles for good what was delivered too often without being settled, as when it kills its consumer each time.
    async fn bury(&self, deliveries: Deliveries) -> Result<Deliveries> {
        let limit = self.shared.config.max_attempts();
        let mut kept = Deliveries::new();
        for lot in deliveries.into_lots() {
            if lot.max_attempt() <= limit {
                kept.push(lot);
                continue;
            }
            let receipts = (0..lot.len()).filter_map(|index| lot.receipt(index));
            let (worn, fresh): (Vec<_>, Vec<_>) = receipts.partition(|receipt| receipt.attempt > limit);
            let runs: Vec<_> = worn.into_iter().map(ReceiptRun::from).collect();
            let failure = Failure::new(format!("delivered {limit} times and never settled"));
            self.refuse(&runs, self.disposition(limit, Fate::DeadLetter), &failure)
                .await?;
            if !fresh.is_empty() {
                // The rest of the lot is handed back rather than picked apart: it comes again at once.
                let runs: Vec<_> = fresh.into_iter().map(ReceiptRun::from).collect();
                self.refuse(&runs, Disposition::GiveBack, &Failure::default())
                    .await?;
            }
        }
        Ok(kept)
    }

    fn try_give_back(&self, deliveries: &Deliveries) {
        for lot in deliveries.lots() {
            let runs: SmallVec<[ReceiptRun; 2]> = lot.runs_from(0).collect();
            self.endpoint.try_give_back(&runs);
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
            .call("nack", || self.endpoint.nack(runs, disposition, failure))
            .await?;
        let counters = &self.shared.counters;
        match disposition {
            Disposition::Requeue { .. } => counters.nacked.add(answer.effective()),
            Disposition::DeadLetter => counters.dead.add(answer.effective()),
            Disposition::Discard => counters.discarded.add(answer.effective()),
            Disposition::GiveBack => {}
        }
        Ok(answer)
    }

    fn disposition(&self, attempt: u32, fate: Fate) -> Disposition {
        let config = &self.shared.config;
        let last = attempt >= config.max_attempts();
        match fate {
            Fate::Retry if !last => Disposition::Requeue {
                delay: jittered(config.delay_after(attempt), config.jitter),
            },
            Fate::RetryAfter(delay) if !last => Disposition::Requeue { delay },
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

fn redelivered(lot: &Lot) -> usize {
    (0..lot.len())
        .filter_map(|index| lot.receipt(index))
        .filter(|receipt| receipt.attempt > 1)
        .count()
}

/// Receipts taken out of the buffer, which go back unless they were sent.
struct Unsent<'a> {
    consumer: &'a Consumer,
    runs: Vec<ReceiptRun>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.runs.is_empty() {
            self.consumer.acks().extend(&self.runs);
        }
    }
}

/// Somebody who waits for room, until it goes.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
