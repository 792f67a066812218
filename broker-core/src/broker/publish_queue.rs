//! The bounded queue behind a publisher: messages that could not be stored at once wait here for company.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::shared::Shared;
use crate::base::{BoxFuture, PublishEndpoint};
use crate::values::{Error, ErrorKind, Message, Outcome, Published, Result};

/// How a publisher collects messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a message may wait for company.
    pub(super) linger: Duration,
    /// The most messages of one batch.
    pub(super) max_batch: usize,
    /// The most messages that wait or are on their way.
    pub(super) buffer: usize,
}

/// The bounded queue behind a publisher.
pub(super) struct PublishQueue {
    shared: Arc<Shared>,
    endpoint: Arc<dyn PublishEndpoint>,
    limits: Limits,
    /// One permit for each place in the buffer.
    room: Semaphore,
    open: Mutex<OpenBatch>,
    /// Messages that wait or are on their way: while there are any, nothing may overtake them.
    unsent: AtomicUsize,
    work: Notify,
    emptied: Notify,
    running: Mutex<bool>,
}

/// The messages that go together next, and where their senders look for the outcome.
#[derive(Default)]
struct OpenBatch {
    messages: Vec<Message>,
    cell: Arc<Cell>,
    hurried: bool,
}

/// The outcome of a batch, for all of its senders: one allocation a batch, not one a message.
#[derive(Default)]
pub(super) struct Cell {
    outcome: OnceLock<Published>,
    done: Notify,
}

impl PublishQueue {
    pub(super) fn new(shared: Arc<Shared>, endpoint: Arc<dyn PublishEndpoint>, limits: Limits) -> Arc<Self> {
        let queue = Arc::new(Self {
            shared,
            endpoint,
            limits,
            room: Semaphore::new(limits.buffer.clamp(1, Semaphore::MAX_PERMITS)),
            open: Mutex::default(),
            unsent: AtomicUsize::new(0),
            work: Notify::new(),
            emptied: Notify::new(),
            running: Mutex::default(),
        });
        queue.shared.add_queue(&queue);
        queue
    }

    pub(super) fn endpoint(&self) -> &dyn PublishEndpoint {
        &*self.endpoint
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether nothing waits, so that a message may be stored past the queue.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.unsent.load(Ordering::Acquire) == 0
    }

    /// Puts a message into the queue, waiting for room; answers where its outcome will be.
    pub(super) async fn enqueue(self: &Arc<Self>, message: Message) -> Result<(Arc<Cell>, usize)> {
        let permit = self.room.acquire().await.map_err(|_| {
            Error::closed()
                .operation("publish")
                .provider(self.shared.provider)
        })?;
        self.shared.check_open("publish")?;
        permit.forget();
        let mut open = self.open();
        self.unsent.fetch_add(1, Ordering::AcqRel);
        let place = (Arc::clone(&open.cell), open.messages.len());
        open.messages.push(message);
        drop(open);
        self.work.notify_one();
        self.start();
        Ok(place)
    }

    /// Waits until all that was put in before is stored or answered for.
    pub(super) async fn flush(&self) {
        self.open().hurried = true;
        self.work.notify_one();
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.is_idle() {
                return;
            }
            emptied.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, OpenBatch> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the sending task, unless it runs already. It ends when the queue is empty, so that an idle publisher costs
    /// nothing and a dropped one leaves nothing behind.
    fn start(self: &Arc<Self>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !*running {
            *running = self.shared.spawn(Arc::clone(self).run());
        }
    }

    async fn run(self: Arc<Self>) {
        let depth = self.endpoint.batches_in_flight().max(1);
        let mut in_flight: VecDeque<BoxFuture<'static, usize>> = VecDeque::new();
        loop {
            if in_flight.len() < depth
                && let Some(sending) = self.next_batch(in_flight.is_empty()).await
            {
                in_flight.push_back(sending);
                // Its first poll puts the batch on the wire, in the order of the queue.
                self.reap(&mut in_flight, false).await;
                continue;
            }
            if !in_flight.is_empty() {
                self.reap(&mut in_flight, true).await;
                continue;
            }
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if self.open().messages.is_empty() {
                *running = false;
                return;
            }
        }
    }

    /// Takes the next batch out, after it had its time to grow.
    async fn next_batch(self: &Arc<Self>, may_linger: bool) -> Option<BoxFuture<'static, usize>> {
        let (len, hurried) = {
            let open = self.open();
            (open.messages.len(), open.hurried)
        };
        if len == 0 {
            return None;
        }
        if may_linger && !hurried && len < self.limits.max_batch && !self.limits.linger.is_zero() {
            let full = async {
                loop {
                    self.work.notified().await;
                    let open = self.open();
                    if open.hurried || open.messages.len() >= self.limits.max_batch {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(self.limits.linger, full).await;
        }
        let mut open = self.open();
        let OpenBatch {
            mut messages, cell, ..
        } = std::mem::take(&mut *open);
        drop(open);
        let queue = Arc::clone(self);
        Some(Box::pin(async move {
            let count = messages.len();
            let mut outcomes: Vec<Outcome> = Vec::new();
            let published = loop {
                let rest = if messages.len() > queue.limits.max_batch {
                    messages.split_off(queue.limits.max_batch)
                } else {
                    Vec::new()
                };
                let part = queue.shared.publish_all(&*queue.endpoint, messages).await;
                if rest.is_empty() && outcomes.is_empty() {
                    break part;
                }
                outcomes.extend(part.into_outcomes());
                if rest.is_empty() {
                    break Published::each(outcomes);
                }
                messages = rest;
            };
            cell.complete(published);
            count
        }))
    }

    /// Polls what is on its way; with `wait`, until one batch has arrived.
    async fn reap(&self, in_flight: &mut VecDeque<BoxFuture<'static, usize>>, wait: bool) {
        let mut work = std::pin::pin!(self.work.notified());
        let arrived = std::future::poll_fn(|context| {
            let mut arrived = 0;
            in_flight.retain_mut(|sending| match sending.as_mut().poll(context) {
                Poll::Ready(count) => {
                    arrived += count;
                    false
                }
                Poll::Pending => true,
            });
            // New work ends the wait too: another batch may fit into the pipeline.
            let more = wait && work.as_mut().poll(context).is_ready();
            if arrived > 0 || !wait || more {
                Poll::Ready(arrived)
            } else {
                Poll::Pending
            }
        })
        .await;
        if arrived > 0 {
            self.room.add_permits(arrived);
            if self.unsent.fetch_sub(arrived, Ordering::AcqRel) == arrived {
                self.emptied.notify_waiters();
            }
        }
    }
}

impl Cell {
    fn complete(&self, published: Published) {
        let _ = self.outcome.set(published);
        self.done.notify_waiters();
    }

    /// Waits for the outcome of the message at `index`.
    pub(super) async fn outcome(&self, index: usize) -> Outcome {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if let Some(published) = self.outcome.get() {
                return published.outcome(index).unwrap_or_else(|| {
                    Outcome::Unknown(Error::new(
                        ErrorKind::Unexpected,
                        "the adapter answered for too few messages",
                    ))
                });
            }
            done.await;
        }
    }
}
