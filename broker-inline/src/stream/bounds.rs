//! Waiting for room.

use std::sync::Arc;

use tokio::sync::Notify;

use super::state::State;
use super::stream::Stream;
use crate::gate::first;
use crate::sync::{Ordering, RECHECK, fence, sleep_until};

/// A publisher's place in the queue for room.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    stream: &'a Stream,
    notify: Arc<Notify>,
}

impl Stream {
    /// From how much room on a waiting publisher is told: one by one, waking would cost more than publishing.
    fn worth_telling(&self) -> usize {
        (self.limits.capacity / 16).clamp(1, 1_024)
    }

    /// Some group needs `count` messages no longer.
    #[inline]
    pub(crate) fn freed(&self, count: u64) {
        fence(Ordering::SeqCst);
        if self.blocked.load(Ordering::Relaxed) > 0 {
            self.freed_slowly(count);
        }
    }

    #[cold]
    fn freed_slowly(&self, count: u64) {
        let count = crate::number::index(count);
        let freed = self.freed.fetch_add(count, Ordering::Relaxed) + count;
        if freed >= self.worth_telling() {
            self.wake_publisher();
        }
    }

    /// A reader found nothing: whatever room there is, is worth telling.
    #[inline]
    pub(crate) fn ran_dry(&self) {
        if self.blocked.load(Ordering::Relaxed) > 0 {
            self.wake_publisher();
        }
    }

    /// Lets the publisher that waits for longest look again.
    pub(crate) fn wake_publisher(&self) {
        self.freed.store(0, Ordering::Relaxed);
        let first = self.lock().queue.front().cloned();
        if let Some(first) = first {
            first.notify_one();
        }
    }

    /// Queues for room.
    pub(crate) fn queue(&self) -> Place<'_> {
        let notify = Arc::new(Notify::new());
        let mut state = self.lock();
        state.queue.push_back(notify.clone());
        self.blocked.fetch_add(1, Ordering::SeqCst);
        drop(state);
        fence(Ordering::SeqCst);
        Place { stream: self, notify }
    }
}

impl State {
    /// Whether a publisher may go on: nobody overtakes those who wait.
    #[inline]
    pub(super) fn is_turn_of(&self, place: Option<&Place<'_>>) -> bool {
        match self.queue.front() {
            None => true,
            Some(first) => place.is_some_and(|place| Arc::ptr_eq(first, &place.notify)),
        }
    }
}

impl Place<'_> {
    /// Waits until it is worth looking again.
    pub(crate) async fn wait(&self) {
        let recheck =
            RECHECK.and_then(|pause| self.stream.clock.instant(self.stream.clock.now().after(pause)));
        first(self.notify.notified(), sleep_until(recheck)).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.stream.lock();
        let was_first = state.is_turn_of(Some(self));
        state.queue.retain(|other| !Arc::ptr_eq(other, &self.notify));
        self.stream.blocked.fetch_sub(1, Ordering::SeqCst);
        let next = state.queue.front().filter(|_| was_first).cloned();
        drop(state);
        if let Some(next) = next {
            next.notify_one();
        }
    }
}
