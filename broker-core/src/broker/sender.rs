//! The task that sends what waits in a publisher's queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::attempts::NEVER;
use super::lifecycle::Stage;
use super::publish_queue::{Next, PublishQueue};
use crate::base::BoxFuture;

/// The task that sends what waits in a publisher's queue, several batches at once where the endpoint can.
pub(super) struct Sender {
    queue: Arc<PublishQueue>,
    ended: bool,
}

impl Sender {
    pub(super) fn new(queue: Arc<PublishQueue>) -> Self {
        Self { queue, ended: false }
    }

    pub(super) async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let depth = queue.endpoint.batches_in_flight().max(1);
        let mut in_flight: VecDeque<BoxFuture<'static, ()>> = VecDeque::new();
        loop {
            // What goes out while a batch before it is tried again might overtake that one.
            let open = in_flight.len() < depth && queue.retrying.load(Ordering::Acquire) == 0;
            if open && (in_flight.is_empty() || queue.is_worth_a_batch()) {
                if in_flight.is_empty() {
                    linger(&queue).await;
                }
                if let Some(sending) = next_batch(&queue) {
                    in_flight.push_back(sending);
                    // Its first poll puts the batch on the wire, in the order of the queue.
                    reap(&queue, &mut in_flight, Wait::Not).await;
                    continue;
                }
            }
            if !in_flight.is_empty() {
                let wait = if open { Wait::ForWorkToo } else { Wait::ForAnswers };
                reap(&queue, &mut in_flight, wait).await;
                continue;
            }
            if self.end() {
                return;
            }
        }
    }

    /// Ends, unless a message was put in just now.
    fn end(&mut self) -> bool {
        self.queue.running.store(false, Ordering::SeqCst);
        let more = !matches!(self.queue.next(), Next::Nothing);
        // Whoever put it in may have begun another task in the meantime.
        self.ended = !more || self.queue.running.swap(true, Ordering::SeqCst);
        self.ended
    }
}

impl Drop for Sender {
    /// A runtime that ends takes its tasks along: nobody would ever send what waits.
    fn drop(&mut self) {
        if !self.ended {
            self.queue.refuse_waiting();
        }
    }
}

/// Gives the next batch its time to grow.
async fn linger(queue: &PublishQueue) {
    if queue.limits.linger.is_zero() || !matches!(queue.next(), Next::Growing) {
        return;
    }
    queue.want_each();
    let grown = async {
        while matches!(queue.next(), Next::Growing) {
            queue.work.notified().await;
        }
    };
    let grown = tokio::time::timeout(queue.limits.linger.min(NEVER), grown);
    let _ = queue.shared.life.unless(Stage::Draining, grown).await;
}

fn next_batch(queue: &Arc<PublishQueue>) -> Option<BoxFuture<'static, ()>> {
    let (messages, parcel) = queue.take()?;
    let queue = Arc::clone(queue);
    Some(Box::pin(async move {
        let published = queue
            .shared
            .publish_all(&*queue.endpoint, messages, Some(&parcel))
            .await;
        parcel.answer(published);
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Poll once.
    Not,
    /// Until a batch has its answer.
    ForAnswers,
    /// Until a batch has its answer, or another one may fit into the pipeline.
    ForWorkToo,
}

/// Polls what is on its way, the oldest first.
async fn reap(queue: &PublishQueue, in_flight: &mut VecDeque<BoxFuture<'static, ()>>, wait: Wait) {
    let mut work = std::pin::pin!(queue.work.notified());
    std::future::poll_fn(|context| {
        let before = in_flight.len();
        in_flight.retain_mut(|sending| sending.as_mut().poll(context).is_pending());
        let more = wait == Wait::ForWorkToo && work.as_mut().poll(context).is_ready();
        if wait == Wait::Not || more || in_flight.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
