//! One member of a group, or one independent reader: reading within the broker's bounds.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::ack_buffer::AckBuffer;
use super::attempts::NEVER;
use super::lifecycle::Stage;
use super::shared::Shared;
use super::spans;
use super::unclaimed::Unclaimed;
use crate::base::{BoxFuture, Deliveries, Lot, Membership, ReadEndpoint};
use crate::values::{Capabilities, Error, Ordering as KeyOrder, Result};

/// Acks that are waiting are sent without a read when there are this many, and as many as may be out.
const ACK_BATCH: usize = 256;

/// How soon a broker that can't wait for messages is asked again, at first and at last.
const POLLS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));

/// One member of a group, or one independent reader.
pub(super) struct Consumer {
    pub(super) shared: Arc<Shared>,
    pub(super) member: Membership,
    pub(super) endpoint: Arc<dyn ReadEndpoint>,
    settles: bool,
    /// Whether the endpoint was seen to answer at once: what waits for it then holds nothing that others need.
    at_once: AtomicBool,
    /// How often a message is delivered in all.
    pub(super) max_attempts: u32,
    pub(super) acks: Mutex<AckBuffer>,
    /// One flush at a time: who waits for the acks waits for those on their way too.
    pub(super) sending: Semaphore,
    /// Whether a task will send the waiting acks soon.
    pub(super) flushing: AtomicBool,
    /// Tells that task that there are enough.
    pub(super) enough: Notify,
    /// Deliveries handed out and neither settled nor dropped.
    outstanding: AtomicUsize,
    /// Told when `outstanding` goes down and somebody waits for that.
    freed: Notify,
    waiting: AtomicUsize,
    /// How many deliveries may be out, as who waits for room last said.
    limit: AtomicUsize,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, member: Membership, endpoint: Arc<dyn ReadEndpoint>) -> Self {
        let acknowledges = shared
            .base
            .capabilities()
            .contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        Self {
            member,
            settles: acknowledges && endpoint.settles(),
            max_attempts: shared.config.max_attempts(),
            shared,
            endpoint,
            at_once: AtomicBool::new(false),
            acks: Mutex::default(),
            sending: Semaphore::new(1),
            flushing: AtomicBool::new(false),
            enough: Notify::new(),
            outstanding: AtomicUsize::new(0),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
        }
    }

    /// Delivers a message so often in all, in place of the broker's setting.
    pub(super) fn with_max_attempts(mut self, attempts: Option<u32>) -> Self {
        self.max_attempts = attempts.unwrap_or(self.max_attempts);
        self
    }

    /// Whether deliveries want settling.
    #[inline]
    pub(super) fn settles(&self) -> bool {
        self.settles
    }

    /// Whether the next read is under way while what the last one brought is handled. In sequence an ack may free the
    /// very message that is read next, and what settles nothing could not be given back.
    pub(super) fn reads_ahead(&self) -> bool {
        self.settles && self.member.ordering == KeyOrder::Publish && self.endpoint.reads_ahead()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::SeqCst)
    }

    /// Hands out what is there at once, after sending the waiting acks; `None` where that needs waiting.
    #[inline]
    pub(super) fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        if let Err(error) = self.shared.check("read") {
            return Some(Err(error));
        }
        if !self.try_send_acks() {
            return None;
        }
        let answer = self.endpoint.try_read(max)?;
        if !self.at_once.load(Ordering::Relaxed) {
            self.at_once.store(true, Ordering::Relaxed);
        }
        match &answer {
            // One that was delivered too often has to be dead-lettered first, which may wait.
            Ok(deliveries) if self.worn_out(deliveries) => {
                self.hand_back_unseen(deliveries);
                return None;
            }
            Ok(deliveries) => self.count_out(deliveries),
            Err(_) => self.shared.observe(&answer),
        }
        Some(answer.map_err(|error| error.operation("read").provider(self.shared.provider)))
    }

    /// Whether the endpoint was seen to answer at once: what waits for it holds nothing that others need.
    pub(super) fn answers_at_once(&self) -> bool {
        self.at_once.load(Ordering::Relaxed)
    }

    /// Begins a read that others need not wait for, however long its caller keeps it without polling it: it goes on by
    /// itself wherever it may hold the turn to send, or to connect.
    pub(super) fn apart<R>(
        self: &Arc<Self>,
        read: impl FnOnce(Arc<Self>) -> R,
    ) -> BoxFuture<'static, Result<Deliveries>>
    where
        R: Future<Output = Result<Deliveries>> + Send + 'static,
    {
        let reading = read(Arc::clone(self));
        if self.answers_at_once() {
            return Box::pin(reading);
        }
        let consumer = Arc::clone(self);
        let reading = async move {
            let deliveries = reading.await?;
            Ok(Unclaimed::new(consumer, deliveries))
        };
        let reading = self.shared.in_background("read", reading);
        Box::pin(async { reading.await.map(Unclaimed::claim) })
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first. The waiting acks travel along.
    ///
    /// For who is certain to be polled until it is done, unless no acks wait; see [`apart`](Self::apart).
    pub(super) async fn read(self: &Arc<Self>, max: usize, wait: Duration) -> Result<Deliveries> {
        self.shared.check_open("read")?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        if self.member.ordering == KeyOrder::Sequential || self.try_send_acks() {
            // An ack may free the very message that is read next; or there is nothing to send.
            self.flush().await?;
            return self.take(max, wait).await;
        }
        let mut flushing = std::pin::pin!(self.send_acks());
        let mut reading = std::pin::pin!(self.take(max, wait));
        let (mut flushed, mut read) = (None, None);
        std::future::poll_fn(|context| {
            // The acks first: an adapter that keeps an order executes them before the read.
            if flushed.is_none()
                && let Poll::Ready(answer) = flushing.as_mut().poll(context)
            {
                flushed = Some(answer);
            }
            if read.is_none()
                && let Poll::Ready(answer) = reading.as_mut().poll(context)
            {
                // Should this future be dropped while the acks are on their way, what was read goes back.
                read = Some(answer.map(|deliveries| Unclaimed::new(Arc::clone(self), deliveries)));
            }
            if flushed.is_some() && read.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let deliveries = match read {
            Some(read) => read?.claim(),
            None => Deliveries::new(),
        };
        match flushed {
            // The acks stay and are tried again with the next read.
            Some(Err(error)) if deliveries.is_empty() => Err(error),
            _ => Ok(deliveries),
        }
    }

    /// Hands out up to `max` messages, waiting up to `wait` for the first.
    async fn take(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        let until = Instant::now() + wait.min(NEVER);
        let left = || until.saturating_duration_since(Instant::now());
        loop {
            let deliveries = self
                .shared
                .call_waiting("read", left(), || self.endpoint.read(max, left()))
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

    /// As [`read`](Self::read), also on a broker that can't wait or comes back early: that one is polled, with
    /// pauses, so that nothing to do costs next to nothing.
    pub(super) async fn read_patiently(self: &Arc<Self>, max: usize, wait: Duration) -> Result<Deliveries> {
        let until = Instant::now() + wait.min(NEVER);
        let (first, last) = POLLS;
        let mut pause = first;
        loop {
            let asked = Instant::now();
            let waits = self
                .shared
                .base
                .capabilities()
                .contains(Capabilities::BLOCKING_READ);
            let left = until.saturating_duration_since(asked);
            let deliveries = self.read(max, if waits { left } else { Duration::ZERO }).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !deliveries.is_empty() || left.is_zero() || max == 0 {
                return Ok(deliveries);
            }
            if asked.elapsed() >= last {
                pause = first;
            }
            self.pause(pause.min(left)).await?;
            pause = (pause * 2).min(last);
        }
    }

    /// Waits for `pause`, unless the broker closes.
    pub(super) async fn pause(&self, pause: Duration) -> Result<()> {
        let slept = self
            .shared
            .life
            .unless(Stage::Draining, tokio::time::sleep(pause))
            .await;
        slept.ok_or_else(|| Error::closed().operation("read").provider(self.shared.provider))
    }

    /// Waits until fewer than `limit` deliveries are out, unless the broker closes.
    pub(super) async fn room(&self, limit: usize) {
        self.expect(limit);
        let freed = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let _leave = Leave(&self.waiting);
                if self.outstanding() < limit {
                    return;
                }
                freed.await;
            }
        };
        // That it closes instead is what the read that follows will say.
        let _ = self.shared.life.unless(Stage::Draining, freed).await;
    }

    /// Takes note of how many deliveries may be out.
    pub(super) fn expect(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How many acks may wait for the next read: one that reads much at once takes many along.
    #[inline]
    pub(super) fn most_acks(&self) -> usize {
        self.limit.load(Ordering::Relaxed).max(ACK_BATCH)
    }

    /// Whether a reader waits for the places that `acks` unsent ones hold, and they are many enough to be worth a call.
    #[inline]
    pub(super) fn reader_waits_for(&self, acks: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 && acks * 2 >= self.limit.load(Ordering::Relaxed)
    }

    /// Deliveries handed out and not settled, those left out whose acks wait for company: the next read takes these
    /// along.
    pub(super) fn held(&self) -> usize {
        let acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.outstanding().saturating_sub(acks)
    }

    /// Deliveries left somebody's hands.
    pub(super) fn release(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.shared.counters.released.add(count);
        // Sequentially consistent with `room`: either it sees this, or this sees it waiting.
        let _ = self
            .outstanding
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
                Some(held.saturating_sub(count))
            });
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// A subscription reads by itself from now on.
    pub(super) fn subscribed(&self) {
        self.endpoint.subscribed();
    }

    /// The subscription is over.
    pub(super) fn unsubscribed(&self) {
        self.endpoint.unsubscribed();
    }

    /// Leaves the group.
    pub(super) async fn leave(self: &Arc<Self>) -> Result<()> {
        self.flush().await?;
        self.shared.settle("leave", || self.endpoint.leave()).await
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
            self.outstanding.fetch_add(count, Ordering::SeqCst);
        } else {
            counters.released.add(count);
        }
        spans::received(self, deliveries);
        tracing::trace!(stream = %self.member.stream, group = %self.member.group, count, "delivered");
    }

    fn hand_back_unseen(&self, deliveries: &Deliveries) {
        for lot in deliveries.lots() {
            let runs: SmallVec<[_; 2]> = lot.runs_from(0).collect();
            if !self.endpoint.try_give_back(&runs) {
                tracing::warn!(stream = %self.member.stream, "messages wait for the end of their lease: the adapter has `try_read` without `try_give_back`");
            }
        }
    }
}

impl Drop for Consumer {
    /// What is left are acks that could not be sent: their messages come again, and are in nobody's hands.
    fn drop(&mut self) {
        self.shared.counters.released.add(*self.outstanding.get_mut());
    }
}

fn redelivered(lot: &Lot) -> usize {
    (0..lot.len())
        .filter_map(|index| lot.receipt(index))
        .filter(|receipt| receipt.attempt > 1)
        .count()
}

/// Somebody who waits for room, until it goes.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
