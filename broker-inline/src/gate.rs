//! Where readers wait, at no cost to anybody while none does.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use broker_window::Moment;
use smallvec::SmallVec;

use crate::clock::Clock;
use crate::sync::{AtomicUsize, Mutex, Ordering, fence, sleep_until};

/// Where readers wait for something to read.
///
/// Who changes what they wait for does so first, then [`fence`]s, then asks whether somebody sleeps; who wants to sleep
/// says so first, then fences, then looks once more. So one of the two sees the other, and no wake-up is lost. Publishers
/// spare themselves the fence: they change and ask under their stream's lock, which who wants to sleep takes once. One that
/// was woken sleeps no longer: until it has looked, it is not woken again.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    sleeping: AtomicUsize,
    sleepers: Mutex<Sleepers>,
}

/// Those who sleep, in the order they came.
#[derive(Debug, Default)]
struct Sleepers {
    queue: VecDeque<(u64, Waker)>,
    next: u64,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether somebody sleeps. Meaningful only after a fence, or under the lock of a stream.
    #[inline]
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed) > 0
    }

    /// Wakes as many as there are messages for.
    #[inline]
    pub(crate) fn wake(&self, messages: u64) {
        if self.has_sleepers() {
            self.wake_some(messages);
        }
    }

    /// Wakes all of them, to look at the clock again or to find the broker closed.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        self.wake(u64::MAX);
    }

    #[cold]
    fn wake_some(&self, messages: u64) {
        let mut sleepers = self.sleepers.lock();
        let count = sleepers
            .queue
            .len()
            .min(usize::try_from(messages).unwrap_or(usize::MAX));
        let woken: SmallVec<[_; 4]> = sleepers.queue.drain(..count).collect();
        self.sleeping.store(sleepers.queue.len(), Ordering::SeqCst);
        drop(sleepers);
        for (_, waker) in woken {
            waker.wake();
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
            let mut sleep = Sleep::begin(self).await;
            fence(Ordering::SeqCst);
            if let Some(answer) = attempt() {
                return Some(answer);
            }
            if clock.now() >= until {
                return None;
            }
            let alarm = clock.instant(until.min(due()));
            first(poll_fn(|context| sleep.poll(context)), sleep_until(alarm)).await;
            sleep.looks_again();
        }
    }
}

/// One who sleeps. A wake-up that it does not act on goes to another.
struct Sleep<'a> {
    gate: &'a Gate,
    number: u64,
    looks_again: bool,
}

impl<'a> Sleep<'a> {
    /// Lies down, to be woken from now on.
    async fn begin(gate: &'a Gate) -> Self {
        poll_fn(|context| {
            let mut sleepers = gate.sleepers.lock();
            let number = sleepers.next;
            sleepers.next += 1;
            sleepers.queue.push_back((number, context.waker().clone()));
            gate.sleeping.store(sleepers.queue.len(), Ordering::SeqCst);
            Poll::Ready(Self {
                gate,
                number,
                looks_again: false,
            })
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.gate.sleepers.lock();
        let me = sleepers
            .queue
            .iter_mut()
            .find(|(number, _)| *number == self.number);
        match me {
            Some((_, waker)) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// It is awake, whatever woke it, and is going to look once more: no wake-up is wasted on it.
    fn looks_again(&mut self) {
        self.looks_again = true;
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.gate.sleepers.lock();
        let place = sleepers
            .queue
            .iter()
            .position(|(number, _)| *number == self.number);
        let woken = place.and_then(|place| sleepers.queue.remove(place)).is_none();
        self.gate.sleeping.store(sleepers.queue.len(), Ordering::SeqCst);
        drop(sleepers);
        if woken && !self.looks_again {
            self.gate.wake(1);
        }
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
