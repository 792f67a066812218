//! The task that sends what waits in a publisher's queue.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::attempts::NEVER;
use super::lifecycle::Stage;
use super::publish_queue::{Next, PublishQueue};
use crate::base::BoxFuture;

/// How long the task stays when it has nothing to do: a message that comes soon finds it there.
const STAYS: Duration = Duration::from_millis(50);

/// The task that sends what waits in a publisher's queue, several batches at once where the endpoint can.
pub(super) struct Sender {
    queue: Arc<PublishQueue>,
    ended: bool,
}

/// The batches on their way, which the sending task sees through.
#[derive(Default)]
pub(super) struct InFlight {
    batches: VecDeque<BoxFuture<'static, ()>>,
    /// The task's, while it has nothing to do.
    idle: Option<Waker>,
    /// Whether the last batch was a single message.
    lone: bool,
}

impl InFlight {
    fn push(&mut self, sending: BoxFuture<'static, ()>, count: usize) {
        self.lone = count == 1;
        self.batches.push_back(sending);
    }

    /// Sends what waits while the task has nothing to do, and lets the task see it through; answers whether it did.
    /// Only after a single message: where many come at once, they had better gather.
    pub(super) fn begin_alone(&mut self, queue: &Arc<PublishQueue>) -> bool {
        let open = self.lone && self.batches.is_empty() && queue.retrying.load(Ordering::Acquire) == 0;
        // The adapter may want the runtime. It is asked for last: its handle is counted, and every sender comes by here.
        let Some(task) = self
            .idle
            .as_ref()
            .filter(|_| open && Handle::try_current().is_ok())
            .cloned()
        else {
            return false;
        };
        if let Some((mut sending, count)) = next_batch(queue)
            && sending
                .as_mut()
                .poll(&mut Context::from_waker(&task))
                .is_pending()
        {
            self.push(sending, count);
        }
        true
    }
}

impl Sender {
    pub(super) fn new(queue: Arc<PublishQueue>) -> Self {
        Self { queue, ended: false }
    }

    pub(super) async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let depth = queue.endpoint.batches_in_flight().max(1);
        let mut stays = pin!(tokio::time::sleep(STAYS));
        loop {
            let under_way = queue.in_flight().batches.len();
            // What goes out while a batch before it is tried again might overtake that one.
            let open = under_way < depth && queue.retrying.load(Ordering::Acquire) == 0;
            if open && (under_way == 0 || queue.is_worth_a_batch()) {
                if under_way == 0 {
                    linger(&queue).await;
                }
                if let Some((sending, count)) = next_batch(&queue) {
                    queue.in_flight().push(sending, count);
                    // Its first poll puts the batch on the wire, in the order of the queue.
                    reap(&queue, Wait::Not).await;
                    continue;
                }
            }
            if under_way > 0 {
                let wait = if open { Wait::ForWorkToo } else { Wait::ForAnswers };
                reap(&queue, wait).await;
                continue;
            }
            if !self.waits(stays.as_mut()).await && self.end() {
                return;
            }
        }
    }

    /// Waits a while for something to do; answers whether there is.
    async fn waits(&self, mut stays: Pin<&mut Sleep>) -> bool {
        let queue = &*self.queue;
        if !queue.limits.linger.is_zero() || queue.abandoned.load(Ordering::Acquire) {
            return false;
        }
        queue.want_each();
        stays.as_mut().reset(Instant::now() + STAYS);
        let mut work = pin!(queue.work.notified());
        let something = std::future::poll_fn(|context| {
            let mut in_flight = queue.in_flight();
            if !in_flight.batches.is_empty() || work.as_mut().poll(context).is_ready() {
                in_flight.idle = None;
                return Poll::Ready(true);
            }
            if stays.as_mut().poll(context).is_ready() {
                in_flight.idle = None;
                return Poll::Ready(false);
            }
            in_flight.idle = Some(context.waker().clone());
            Poll::Pending
        });
        let something = queue.shared.life.unless(Stage::Draining, something).await;
        queue.in_flight().idle = None;
        something.unwrap_or(false)
    }

    /// Ends, unless a message was put in just now.
    fn end(&mut self) -> bool {
        self.queue.running.store(false, Ordering::SeqCst);
        let more = !matches!(self.queue.next(), Next::Nothing) || !self.queue.in_flight().batches.is_empty();
        // Whoever put it in may have begun another task in the meantime.
        self.ended = !more || self.queue.running.swap(true, Ordering::SeqCst);
        self.ended
    }
}

impl Drop for Sender {
    /// A runtime that ends takes its tasks along: nobody would ever send what waits.
    fn drop(&mut self) {
        if !self.ended {
            let mut in_flight = self.queue.in_flight();
            in_flight.idle = None;
            let broken_off = std::mem::take(&mut in_flight.batches);
            drop(in_flight);
            drop(broken_off);
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

/// The next batch, to be sent by polling, and of how many messages it is.
fn next_batch(queue: &Arc<PublishQueue>) -> Option<(BoxFuture<'static, ()>, usize)> {
    let (messages, parcel) = queue.take()?;
    let count = messages.len();
    let queue = Arc::clone(queue);
    let sending = Box::pin(async move {
        let published = queue
            .shared
            .publish_all(&*queue.endpoint, messages, Some(&parcel))
            .await;
        parcel.answer(published);
    });
    Some((sending, count))
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
async fn reap(queue: &PublishQueue, wait: Wait) {
    let mut work = pin!(queue.work.notified());
    std::future::poll_fn(|context| {
        let mut in_flight = queue.in_flight();
        let before = in_flight.batches.len();
        in_flight
            .batches
            .retain_mut(|sending| sending.as_mut().poll(context).is_pending());
        let more = wait == Wait::ForWorkToo && work.as_mut().poll(context).is_ready();
        if wait == Wait::Not || more || in_flight.batches.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
