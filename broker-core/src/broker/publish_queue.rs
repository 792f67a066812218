//! The bounded queue behind a publisher: messages that could not be stored at once wait here for company.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use super::cell::Cell;
use super::sender::{InFlight, Sender};
use super::shared::Shared;
use crate::base::PublishEndpoint;
use crate::values::{Error, ErrorKind, Message, Outcome, Published, Result, Retry};

/// How a publisher collects messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a message may wait for company.
    pub(super) linger: Duration,
    /// The most messages of one batch.
    pub(super) max_batch: usize,
    /// The most messages that wait or are on their way.
    pub(super) buffer: usize,
    /// The most bytes that wait or are on their way.
    pub(super) buffer_bytes: usize,
}

/// The bounded queue behind a publisher.
pub(super) struct PublishQueue {
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Arc<dyn PublishEndpoint>,
    pub(super) limits: Limits,
    /// One permit for each place in the buffer.
    places: Semaphore,
    /// One permit for each byte of the buffer.
    bytes: Semaphore,
    line: Mutex<Line>,
    /// Batches on their way.
    in_flight: Mutex<InFlight>,
    /// Messages that wait or are on their way: while there are any, nothing may overtake them.
    unsent: AtomicUsize,
    /// Told when a message was put in, or is wanted sooner.
    pub(super) work: Notify,
    /// Told when a batch has its answer.
    answered: Notify,
    /// Whether the sending task runs.
    pub(super) running: AtomicBool,
    /// Whether no publisher is left that could put anything in.
    pub(super) abandoned: AtomicBool,
    /// How many batches on their way have failed and are being tried again.
    pub(super) retrying: AtomicUsize,
}

/// Batches in the order of their messages.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Batch>,
    on_the_way: VecDeque<Arc<Cell>>,
    /// Messages in `waiting`.
    waiting_count: usize,
    /// Messages in the batches on their way.
    on_the_way_count: usize,
    /// Messages in the batch that was sent last.
    usual_count: usize,
    /// The sending task is told when there are so many in `waiting`.
    wanted: usize,
}

/// The messages that go together, and where their senders look for the outcome.
struct Batch {
    messages: Vec<Message>,
    bytes: usize,
    cell: Arc<Cell>,
    hurried: bool,
}

impl Batch {
    fn for_about(count: usize) -> Self {
        Self {
            messages: Vec::with_capacity(count),
            bytes: 0,
            cell: Arc::new(Cell::for_about(count)),
            hurried: false,
        }
    }
}

/// What is waiting to be sent next.
pub(super) enum Next {
    Nothing,
    /// A batch that may still grow.
    Growing,
    /// A batch that is full, or that somebody waits for.
    Ready,
}

impl PublishQueue {
    pub(super) fn new(shared: Arc<Shared>, endpoint: Arc<dyn PublishEndpoint>, limits: Limits) -> Arc<Self> {
        let queue = Arc::new(Self {
            shared,
            endpoint,
            limits,
            places: Semaphore::new(limits.buffer.clamp(1, Semaphore::MAX_PERMITS)),
            bytes: Semaphore::new(byte_permits(limits.buffer_bytes, usize::MAX) as usize),
            line: Mutex::default(),
            in_flight: Mutex::default(),
            unsent: AtomicUsize::new(0),
            work: Notify::new(),
            answered: Notify::new(),
            running: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            retrying: AtomicUsize::new(0),
        });
        queue.shared.queues.add(&queue);
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
        let named = |error: Error| error.operation("publish").provider(self.shared.provider);
        if !self.running.load(Ordering::SeqCst) && Handle::try_current().is_err() {
            return Err(named(Error::new(
                ErrorKind::Unexpected,
                "no tokio runtime is running here; publish from within one",
            )));
        }
        let size = byte_permits(message.size(), self.limits.buffer_bytes);
        // Where there is room it is taken without giving way: who sends several at once gets them in order.
        let place = match self.places.try_acquire() {
            Ok(place) => Ok(place),
            Err(_) => self.places.acquire().await,
        };
        let bytes = match self.bytes.try_acquire_many(size) {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.bytes.acquire_many(size).await,
        };
        let (Ok(place), Ok(bytes)) = (place, bytes) else {
            return Err(named(Error::closed()));
        };
        let mut line = self.line();
        // Under the lock: what is put in before the broker drains is seen by whoever drains it.
        self.shared.check_open("publish")?;
        place.forget();
        bytes.forget();
        self.unsent.fetch_add(1, Ordering::AcqRel);
        let full = |batch: &Batch| batch.messages.len() >= self.limits.max_batch;
        if line.waiting.back().is_none_or(full) {
            // It will be about as large as the last one was. Growing step by step costs more than filling it.
            let batch = Batch::for_about(line.usual_count);
            line.waiting.push_back(batch);
        }
        let put = line.waiting.back_mut().map(|batch| {
            batch.messages.push(message);
            batch.bytes += size as usize;
            (Arc::clone(&batch.cell), batch.messages.len() - 1)
        });
        line.waiting_count += 1;
        let enough = line.waiting_count >= line.wanted;
        drop(line);
        if !self.sends_at_once() {
            if enough {
                self.work.notify_one();
            }
            self.start();
        }
        put.ok_or_else(|| named(Error::closed()))
    }

    /// Sends what waits in the sending task's name, if that has nothing to do and a lone message is no surprise: the
    /// task need not be woken to send it, only for the answer.
    fn sends_at_once(self: &Arc<Self>) -> bool {
        if !self.limits.linger.is_zero() {
            return false;
        }
        // Held by the task itself: it is about to look.
        let Ok(mut in_flight) = self.in_flight.try_lock() else {
            return false;
        };
        in_flight.begin_alone(self)
    }

    /// The batches on their way.
    pub(super) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was put in before is stored or answered for.
    pub(super) async fn flush(&self) {
        let ahead: Vec<Arc<Cell>> = {
            let mut line = self.line();
            line.waiting.iter_mut().for_each(|batch| batch.hurried = true);
            let waiting = line.waiting.iter().map(|batch| &batch.cell);
            line.on_the_way.iter().chain(waiting).map(Arc::clone).collect()
        };
        self.work.notify_one();
        for cell in ahead {
            cell.done().await;
        }
    }

    /// Nothing more will be put in: the sending task need not stay.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.work.notify_one();
    }

    /// What could be sent next.
    pub(super) fn next(&self) -> Next {
        match self.line().waiting.front() {
            None => Next::Nothing,
            Some(batch) if batch.hurried || batch.messages.len() >= self.limits.max_batch => Next::Ready,
            Some(_) => Next::Growing,
        }
    }

    /// Whether what waits is worth a batch of its own while others are on their way: few large batches cost both ends
    /// less than many small ones. Where it is not, the sending task is told as soon as it is.
    pub(super) fn is_worth_a_batch(&self) -> bool {
        let mut line = self.line();
        // As many as are on their way: two batches in turn keep the server busy.
        let wanted = line.on_the_way_count.clamp(1, self.limits.max_batch);
        let hurried = line.waiting.front().is_some_and(|batch| batch.hurried);
        let worth = line.waiting_count >= wanted || hurried;
        line.wanted = if worth { 1 } else { wanted };
        worth
    }

    /// Has the sending task told of each message.
    pub(super) fn want_each(&self) {
        self.line().wanted = 1;
    }

    /// Takes the next batch out, to be sent.
    pub(super) fn take(self: &Arc<Self>) -> Option<(Vec<Message>, Parcel)> {
        let mut line = self.line();
        let batch = line.waiting.pop_front()?;
        Some(self.hand_over(&mut line, batch))
    }

    /// Answers for all that waits: the task that would have sent it is no more. What comes later begins another.
    pub(super) fn refuse_waiting(self: &Arc<Self>) {
        let refused: Vec<_> = {
            let mut line = self.line();
            // Under the lock: who puts a message in now is either refused with the others, or begins another task.
            self.running.store(false, Ordering::SeqCst);
            let waiting = std::mem::take(&mut line.waiting);
            waiting
                .into_iter()
                .map(|batch| self.hand_over(&mut line, batch))
                .collect()
        };
        for (messages, parcel) in refused {
            let error = Error::new(
                ErrorKind::Unexpected,
                "the task that sends for this publisher was broken off; send again",
            )
            .retry(Retry::Safe)
            .operation("publish")
            .provider(self.shared.provider);
            parcel.answer(Published::each(vec![Outcome::NotSent(error); messages.len()]));
        }
    }

    fn hand_over(self: &Arc<Self>, line: &mut Line, batch: Batch) -> (Vec<Message>, Parcel) {
        line.on_the_way.push_back(Arc::clone(&batch.cell));
        line.waiting_count -= batch.messages.len();
        line.on_the_way_count += batch.messages.len();
        line.usual_count = batch.messages.len();
        let parcel = Parcel {
            queue: Arc::clone(self),
            cell: batch.cell,
            count: batch.messages.len(),
            bytes: batch.bytes,
            retried: AtomicBool::new(false),
        };
        (batch.messages, parcel)
    }

    /// Runs the sending task, unless it runs already. It ends when the queue is empty, so that an idle publisher costs
    /// nothing and a dropped one leaves nothing behind.
    fn start(self: &Arc<Self>) {
        if !self.running.swap(true, Ordering::SeqCst) {
            let sender = Sender::new(Arc::clone(self));
            self.shared.spawn(Box::pin(sender.run()));
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permits of `size` bytes; what is larger than the whole buffer takes all of it.
fn byte_permits(size: usize, buffer: usize) -> u32 {
    let most = buffer.clamp(1, Semaphore::MAX_PERMITS);
    u32::try_from(size.min(most)).unwrap_or(u32::MAX)
}

/// A batch on its way. Whatever becomes of it, its senders are answered and its places are free again.
pub(super) struct Parcel {
    queue: Arc<PublishQueue>,
    cell: Arc<Cell>,
    count: usize,
    bytes: usize,
    retried: AtomicBool,
}

impl Parcel {
    /// Hands the outcome to the senders.
    pub(super) fn answer(self, published: Published) {
        self.finish(published);
    }

    /// Says that it will be tried again: no further batch is sent until this one has its answer.
    pub(super) fn hold(&self) {
        if !self.retried.swap(true, Ordering::AcqRel) {
            self.queue.retrying.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Waits while a batch before this one is being tried again: one may fail between being looked at and this one's
    /// going out, and a new connection would carry this one past it.
    pub(super) async fn may_begin(&self) {
        if self.queue.retrying.load(Ordering::Acquire) > 0 {
            self.turn().await;
        }
    }

    /// Waits until the batches before this one have their answers: tried again earlier, it would overtake them.
    pub(super) async fn turn(&self) {
        loop {
            let mut answered = std::pin::pin!(self.queue.answered.notified());
            answered.as_mut().enable();
            if self.is_first() {
                return;
            }
            answered.await;
        }
    }

    fn is_first(&self) -> bool {
        let line = self.queue.line();
        line.on_the_way
            .front()
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell))
    }

    fn finish(&self, published: Published) {
        let queue = &*self.queue;
        if self.retried.swap(false, Ordering::AcqRel) {
            queue.retrying.fetch_sub(1, Ordering::AcqRel);
        }
        queue.places.add_permits(self.count);
        queue.bytes.add_permits(self.bytes);
        queue.unsent.fetch_sub(self.count, Ordering::AcqRel);
        self.cell.complete(published);
        let mut line = queue.line();
        line.on_the_way.retain(|cell| !Arc::ptr_eq(cell, &self.cell));
        line.on_the_way_count -= self.count;
        drop(line);
        queue.answered.notify_waiters();
    }
}

impl Drop for Parcel {
    /// A task that was aborted, with its runtime or by a panic, leaves its batch half sent.
    fn drop(&mut self) {
        if !self.cell.is_done() {
            let error = Error::new(ErrorKind::Unexpected, "sending was broken off")
                .retry(Retry::Unknown)
                .operation("publish")
                .provider(self.queue.shared.provider);
            self.finish(Published::each(vec![Outcome::Unknown(error); self.count]));
        }
    }
}
