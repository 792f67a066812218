//! A stream of deliveries.

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::apart::Apart;
use super::batch::Batch;
use super::consumer::Consumer;
use super::delivery::Delivery;
use super::lifecycle::Stage;
use super::prefetch::Prefetch;
use super::unclaimed::Unclaimed;
use crate::base::{BoxFuture, Deliveries};
use crate::values::{ErrorKind, GroupName, ReceiptRun, Result, Settlements, StreamName};
use futures_core::Stream;

/// How long one read waits for messages before it is asked again; bounds how long a broker may keep a call open.
const READ_WAIT: Duration = Duration::from_secs(30);

/// How long a read waits after one that failed, at first and at last: a consumer that only logs errors must not spin.
const AFTER_ERROR: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// After this many reads that never had to wait, other tasks of the worker get a turn.
const READS_PER_TURN: u32 = 64;

/// Deliveries of one consumer, as a [`Stream`] of single ones or in [batches](Self::next_batch).
///
/// At most `prefetch` deliveries are unsettled at once. Acks by [`Delivery::ack_later`] travel together. After an
/// error the stream goes on, more slowly the longer reading fails; after the broker was closed it ends.
///
/// Dropping it hands back at once what was read ahead and not taken.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
///
/// let mut orders = broker.subscribe("orders", "billing").prefetch(512).start().await?;
/// if let Some(order) = orders.next().await {
///     let order = order?;
///     println!("{:?}", order.payload());
///     order.ack_later(); // acks travel together
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Subscription {
    consumer: Arc<Consumer>,
    prefetch: Prefetch,
    current: Option<Batch>,
    /// A read that had to wait, or one ahead. It is kept over dropped `next` futures, so that none of its messages is
    /// lost.
    /// Never locked but by `get_mut`: the mutex lets a subscription be shared, which a bare future would not.
    reading: Mutex<Option<BoxFuture<'static, Result<Deliveries>>>>,
    /// Goes on with reads that had to wait.
    apart: Apart<Unclaimed>,
    reads: u32,
    /// Reads that failed in a row: each makes the next one wait longer.
    failures: u32,
    ended: bool,
}

impl Subscription {
    pub(super) fn new(consumer: Arc<Consumer>, bounds: RangeInclusive<usize>) -> Self {
        let prefetch = Prefetch::new(bounds, consumer.reads_ahead());
        consumer.expect(prefetch.limit());
        Self {
            consumer,
            prefetch,
            current: None,
            reading: Mutex::new(None),
            apart: Apart::new(),
            reads: 0,
            failures: 0,
            ended: false,
        }
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.consumer.member.stream
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        &self.consumer.member.group
    }

    /// The next delivery; `None` once the broker is closed.
    ///
    /// # Errors
    ///
    /// What reading answers; the next call goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what it was waiting for comes with the next call.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        std::future::poll_fn(|context| self.poll_delivery(context)).await
    }

    /// The next deliveries, as many as are there, up to the prefetch; `None` once the broker is closed.
    ///
    /// # Errors
    ///
    /// What reading answers; the next call goes on.
    ///
    /// # Cancel safety
    ///
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Option<Result<Batch>> {
        std::future::poll_fn(|context| self.poll_batch(context)).await
    }

    /// Waits until every ack given so far has reached the broker.
    ///
    /// # Errors
    ///
    /// What settling answers; the acks stay and are tried again.
    pub async fn settled(&self) -> Result<()> {
        self.consumer.flush().await
    }

    /// Lets the leases of deliveries in the application's hands end no sooner than `by` from now, all by one call;
    /// answers `Acked` for each receipt where that took effect. The future is on its own, so that reading goes on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] without `LEASE_EXTENSION`, and what the connection answers.
    pub fn extend(
        &self,
        receipts: Vec<ReceiptRun>,
        by: Duration,
    ) -> impl Future<Output = Result<Settlements>> + Send + 'static {
        let consumer = Arc::clone(&self.consumer);
        async move { consumer.extend(&receipts, by).await }
    }

    /// Leaves the group: sends the acks, hands back what was read ahead, and gives up the place in the group.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn close(mut self) -> Result<()> {
        let reading = self.reading().take();
        let arrived =
            reading.map(|mut reading| reading.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        if let Some(batch) = self.current.take() {
            batch.give_back_now().await;
        }
        if let Some(Poll::Ready(Ok(deliveries))) = arrived {
            Batch::new(Arc::clone(&self.consumer), deliveries)
                .give_back_now()
                .await;
        }
        self.consumer.leave().await
    }

    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(batch) = &mut self.current {
                if let Some(delivery) = batch.next_delivery() {
                    self.read_ahead();
                    return Poll::Ready(Some(Ok(delivery)));
                }
                self.current = None;
            }
            match std::task::ready!(self.poll_fill(context)) {
                Some(Ok(batch)) => self.current = Some(batch),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        let batch = match self.current.take() {
            Some(batch) if !batch.is_empty() => Some(Ok(batch)),
            _ => std::task::ready!(self.poll_fill(context)),
        };
        self.read_ahead();
        Poll::Ready(batch)
    }

    /// Begins the next read while what the last one brought is handled, where that takes its time and there is room.
    #[inline]
    fn read_ahead(&mut self) {
        if self.prefetch.is_ahead() {
            self.read_ahead_if_idle();
        }
    }

    fn read_ahead_if_idle(&mut self) {
        let idle = self.reading().is_none() && self.failures == 0 && !self.ended;
        if idle && self.consumer.held() + self.prefetch.most() <= self.prefetch.limit() {
            *self.reading() = Some(self.begin_fill(Duration::ZERO));
        }
    }

    /// Reads the next batch, which is not empty.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        self.prefetch.wanted(|| self.consumer.held());
        if self.reading().is_none() && self.failures == 0 {
            self.reads = self.reads.wrapping_add(1);
            if self.reads.is_multiple_of(READS_PER_TURN) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let room = self.room();
            if room > 0
                && let Some(answer) = self.consumer.try_read(room)
                && !answer.as_ref().is_ok_and(Deliveries::is_empty)
            {
                return Poll::Ready(self.filled(answer));
            }
        }
        loop {
            let kept = self.reading().take();
            let is_ahead = self.prefetch.found_plenty() && kept.is_some();
            let mut reading = kept.unwrap_or_else(|| self.begin_fill(pause_after(self.failures)));
            let Poll::Ready(answer) = reading.as_mut().poll(context) else {
                *self.reading() = Some(reading);
                if is_ahead {
                    // It has left without the acks given since.
                    self.consumer.hurry_acks();
                }
                return Poll::Pending;
            };
            if !answer.as_ref().is_ok_and(Deliveries::is_empty) {
                return Poll::Ready(self.filled(answer));
            }
            self.failures = 0;
        }
    }

    fn filled(&mut self, answer: Result<Deliveries>) -> Option<Result<Batch>> {
        match answer {
            Ok(deliveries) => {
                self.failures = 0;
                let limit = self.prefetch.limit();
                self.prefetch.brought(&deliveries);
                if self.prefetch.limit() != limit {
                    self.consumer.expect(self.prefetch.limit());
                }
                Some(Ok(Batch::new(Arc::clone(&self.consumer), deliveries)))
            }
            Err(error) if error.kind() == ErrorKind::Closed => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                Some(Err(error))
            }
        }
    }

    /// Whether the broker was closed: what was read ahead goes back, since it could not be settled any more.
    #[inline(always)]
    fn is_over(&mut self) -> bool {
        (self.ended || self.consumer.shared.life.reached(Stage::Draining)) && self.end()
    }

    #[cold]
    fn end(&mut self) -> bool {
        self.ended = true;
        self.reading = Mutex::new(None);
        self.give_back();
        true
    }

    fn begin_fill(&self, pause: Duration) -> BoxFuture<'static, Result<Deliveries>> {
        let consumer = Arc::clone(&self.consumer);
        let reading = fill(
            Arc::clone(&consumer),
            self.prefetch.limit(),
            self.prefetch.most(),
            pause,
        );
        if consumer.answers_at_once() {
            return Box::pin(reading);
        }
        let shared = Arc::clone(&consumer.shared);
        let reading = Box::pin(async move {
            let deliveries = reading.await?;
            Ok(Unclaimed::new(consumer, deliveries))
        });
        let reading = self.apart.begin(&shared, reading);
        Box::pin(async { reading.await.map(Unclaimed::claim) })
    }

    fn reading(&mut self) -> &mut Option<BoxFuture<'static, Result<Deliveries>>> {
        self.reading.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> usize {
        let room = self.prefetch.limit().saturating_sub(self.consumer.outstanding());
        room.min(self.prefetch.most())
    }

    fn give_back(&mut self) {
        if let Some(batch) = self.current.take() {
            batch.give_back();
        }
    }
}

/// Waits for room within the prefetch, then for messages, `most` of them at once.
async fn fill(consumer: Arc<Consumer>, prefetch: usize, most: usize, pause: Duration) -> Result<Deliveries> {
    if !pause.is_zero() {
        consumer.pause(pause).await?;
    }
    let mut held = consumer.held();
    if held >= prefetch {
        consumer.flush().await?;
        consumer.room(prefetch).await;
        held = consumer.held();
    }
    let room = prefetch.saturating_sub(held).clamp(1, most);
    consumer.read_patiently(room, READ_WAIT).await
}

fn pause_after(failures: u32) -> Duration {
    let (first, last) = AFTER_ERROR;
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => first.saturating_mul(1 << doublings.min(16)).min(last),
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_delivery(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.give_back();
        self.consumer.unsubscribed();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("stream", self.stream())
            .field("group", self.group())
            .field("prefetch", &self.prefetch.limit())
            .finish_non_exhaustive()
    }
}
