//! Where readers wait, at no cost to anybody while none does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Notify;

use crate::clock::{Clock, Moment};
use crate::sync::{AtomicUsize, Ordering, fence, sleep_until};

/// Where readers wait for something to read.
///
/// Who changes what they wait for does so first, then [`fence`]s, then asks whether somebody waits; who waits says so
/// first, then fences, then looks once more. So one of the two sees the other, and no wake-up is lost.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            notify: Notify::new(),
        }
    }

    /// How many wait. Meaningful only after a fence.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Wakes as many as there are messages for.
    pub(crate) fn wake(&self, messages: u64) {
        let waiting = self.waiting() as u64;
        if waiting > 0 && messages >= waiting {
            return self.notify.notify_waiters();
        }
        for _ in 0..messages.min(waiting) {
            self.notify.notify_one();
        }
    }

    /// Wakes all of them, to look at the clock again or to find the broker closed.
    pub(crate) fn wake_all(&self) {
        if self.waiting() > 0 {
            self.notify.notify_waiters();
        }
    }

    /// Waits until `attempt` answers, at the latest until `until`. It is asked again when somebody wakes this gate,
    /// and at the moment that `due` tells, when something becomes readable by itself.
    pub(crate) async fn wait<T>(
        &self,
        clock: &Clock,
        until: Moment,
        mut attempt: impl FnMut() -> Option<T>,
        mut due: impl FnMut() -> Moment,
    ) -> Option<T> {
        loop {
            let mut notified = pin!(self.notify.notified());
            notified.as_mut().enable();
            let _waiting = Waiting::enter(&self.waiting);
            fence(Ordering::SeqCst);
            if let Some(answer) = attempt() {
                return Some(answer);
            }
            if clock.now() >= until {
                return None;
            }
            first(notified, sleep_until(clock.instant(until.min(due())))).await;
        }
    }
}

/// Counts one who waits, also where its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for the first of two.
pub(crate) async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let mut one = pin!(one);
    let mut other = pin!(other);
    poll_fn(|context| {
        if one.as_mut().poll(context).is_ready() || other.as_mut().poll(context).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
