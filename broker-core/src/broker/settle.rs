//! How a consumer settles what is done: acks that travel together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::ack_buffer::AckBuffer;
use super::consumer::Consumer;
use super::lifecycle::Stage;
use super::spans::Settling;
use crate::base::Settle;
use crate::values::{Capabilities, Error, ErrorKind, Receipt, ReceiptRun, Result, Settled, Settlements};

/// How long an ack may wait for company while its consumer does not read.
const ACK_LINGER: Duration = Duration::from_millis(10);

/// How soon acks that could not be sent are tried again at last, when nothing else sends them.
const ACK_RETRY: Duration = Duration::from_secs(1);

/// Settling what is done.
impl Consumer {
    /// Settles now, the waiting acks too; answers for `runs`. The caller releases them.
    pub(super) async fn ack(self: &Arc<Self>, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.check_settles(Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack")?;
        self.flush().await?;
        let _settling = Settling::begin(self, "ack", count(runs));
        let answer = match self.endpoint.try_ack(runs) {
            Some(Ok(answer)) => answer,
            Some(Err(_)) | None => self.shared.settle("ack", || self.endpoint.ack(runs)).await?,
        };
        self.count_acked(&answer);
        Ok(answer)
    }

    /// Settles one now if that needs no waiting. The caller counts and releases it.
    #[inline]
    pub(super) fn try_ack_one(&self, receipt: &Receipt) -> Option<Settled> {
        if self.shared.check("ack").is_err() {
            return None;
        }
        self.endpoint.try_ack_one(receipt)?.ok()
    }

    /// Settles soon: with the next read, with enough others, or after a few milliseconds.
    #[inline]
    pub(super) fn ack_later(self: &Arc<Self>, receipt: Receipt) {
        let waiting = self.acks().push(receipt);
        self.send_soon(waiting);
    }

    /// Settles soon, by runs.
    pub(super) fn ack_runs_later(self: &Arc<Self>, runs: &[ReceiptRun]) {
        let waiting = {
            let mut acks = self.acks();
            acks.extend(runs);
            acks.len()
        };
        self.send_soon(waiting);
    }

    /// Sends the waiting acks and waits until the broker has them, those on their way included.
    ///
    /// In the background, since one at a time has the turn to send, and a future may be kept and not polled.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<()> {
        if self.sends_at_once() {
            return Ok(());
        }
        let consumer = Arc::clone(self);
        let sending = async move { consumer.send_acks().await };
        self.shared.in_background("ack", sending).await
    }

    /// Whether every ack given so far has its answer, now that what could be sent without waiting was.
    fn sends_at_once(&self) -> bool {
        self.try_send_acks() && self.acks().is_settled()
    }

    /// As [`flush`](Self::flush), for who is certain to be polled until it is done.
    pub(super) async fn send_acks(&self) -> Result<()> {
        if self.sends_at_once() {
            return Ok(());
        }
        let _turn = self.sending.acquire().await;
        let runs = {
            let mut acks = self.acks();
            if acks.is_empty() {
                return Ok(());
            }
            acks.take()
        };
        // Should this future be dropped, or the call fail, the receipts go back: a lost ack is a duplicate.
        let mut unsent = Unsent { consumer: self, runs };
        let _settling = Settling::begin(self, "ack", count(&unsent.runs));
        let answer = self
            .shared
            .settle("ack", || self.endpoint.ack(&unsent.runs))
            .await?;
        let count = count(&unsent.runs);
        unsent.runs.clear();
        drop(unsent);
        self.count_acked(&answer);
        self.release(count);
        Ok(())
    }

    /// Sends the waiting acks if that needs no waiting; answers whether none wait now.
    #[inline]
    pub(super) fn try_send_acks(&self) -> bool {
        let mut acks = self.acks();
        if acks.is_empty() {
            return true;
        }
        match self.endpoint.try_ack(acks.runs()) {
            Some(Ok(answer)) => {
                let count = acks.len();
                acks.clear();
                drop(acks);
                // It is over: where acks have to be waited for, another call tells of them.
                Settling::begin(self, "ack", count);
                self.count_acked(&answer);
                self.release(count);
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    /// Lets leases end no sooner than `by` from now; answers `Acked` where that took effect.
    pub(super) async fn extend(&self, runs: &[ReceiptRun], by: Duration) -> Result<Settlements> {
        self.check_settles(Capabilities::LEASE_EXTENSION, "extend")?;
        let shared = &self.shared;
        let leases = shared.family(
            shared.base.families().leases,
            Capabilities::LEASE_EXTENSION,
            "extend",
        )?;
        let settle = Settle {
            member: &self.member,
            runs,
        };
        shared.settle("extend", || leases.extend(settle, by)).await
    }

    /// Sends the waiting acks without waiting for more of them.
    pub(super) fn hurry_acks(&self) {
        if !self.try_send_acks() {
            self.enough.notify_one();
        }
    }

    #[inline]
    fn send_soon(self: &Arc<Self>, waiting: usize) {
        if (waiting >= self.most_acks() || self.reader_waits_for(waiting)) && !self.try_send_acks() {
            self.enough.notify_one();
        }
        if !self.flushing.load(Ordering::Relaxed) {
            self.flush_soon();
        }
    }

    fn flush_soon(self: &Arc<Self>) {
        if self.flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let duty = Duty {
            consumer: Arc::clone(self),
            on_duty: true,
        };
        // Outside of a runtime nothing can wait: what can be sent at once is, the rest goes with the next read.
        if !self.shared.spawn(Box::pin(duty.run())) {
            self.try_send_acks();
        }
    }

    fn acks(&self) -> MutexGuard<'_, AckBuffer> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_acked(&self, answer: &Settlements) {
        self.shared.counters.acked.add(answer.effective());
    }

    pub(super) fn check_settles(&self, capability: Capabilities, operation: &'static str) -> Result<()> {
        self.shared.need(capability, operation)?;
        if self.settles() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "an independent reader settles nothing; subscribe with a group to settle",
        )
        .operation(operation)
        .provider(self.shared.provider))
    }
}

/// How many receipts the runs are.
pub(super) fn count(runs: &[ReceiptRun]) -> usize {
    runs.iter().map(|run| run.len as usize).sum()
}

/// Receipts taken out of the buffer, which go back unless they were sent.
struct Unsent<'a> {
    consumer: &'a Consumer,
    runs: Vec<ReceiptRun>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.consumer.acks().put_back(&self.runs);
    }
}

/// The task that sends the waiting acks soon, and goes on as long as that fails.
struct Duty {
    consumer: Arc<Consumer>,
    on_duty: bool,
}

impl Duty {
    async fn run(mut self) {
        let consumer = Arc::clone(&self.consumer);
        let mut linger = ACK_LINGER;
        loop {
            let company = tokio::time::timeout(linger, consumer.enough.notified());
            if consumer
                .shared
                .life
                .unless(Stage::Draining, company)
                .await
                .is_none()
            {
                // Who closes the broker sends them.
                return;
            }
            // An ack given from here on finds nobody on duty, and begins another.
            self.hand_over();
            let Err(error) = consumer.send_acks().await else {
                return;
            };
            tracing::warn!(%error, stream = %consumer.member.stream, group = %consumer.member.group, "acks were not sent");
            // With nobody left who could wait for them, the messages come again when their lease ends.
            let abandoned = Arc::strong_count(&consumer) <= 2 && !consumer.shared.has_handles();
            if abandoned || consumer.flushing.swap(true, Ordering::AcqRel) {
                return;
            }
            self.on_duty = true;
            linger = (linger * 2).min(ACK_RETRY);
        }
    }

    fn hand_over(&mut self) {
        if std::mem::take(&mut self.on_duty) {
            self.consumer.flushing.store(false, Ordering::Release);
        }
    }
}

impl Drop for Duty {
    /// A runtime that ends takes its tasks along: the next ack begins another.
    fn drop(&mut self) {
        self.hand_over();
    }
}
