//! Where the senders of a batch look for its outcome.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::publish::unanswered;
use crate::values::{Outcome, Published};

/// The outcome of a batch, for all of its senders: one allocation a batch, not one a message.
#[derive(Default)]
pub(super) struct Cell {
    outcome: OnceLock<Published>,
    /// Of who waits, and of who gave up.
    waiting: Mutex<Vec<Waker>>,
}

impl Cell {
    /// Of a batch that may have about `count` senders.
    pub(super) fn for_about(count: usize) -> Self {
        Self {
            outcome: OnceLock::new(),
            waiting: Mutex::new(Vec::with_capacity(count)),
        }
    }

    pub(super) fn complete(&self, published: Published) {
        let _ = self.outcome.set(published);
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Waits for the outcome of the message at `index`.
    pub(super) async fn outcome(&self, index: usize) -> Outcome {
        self.done().await.outcome(index).unwrap_or_else(unanswered)
    }

    pub(super) async fn done(&self) -> &Published {
        let mut place = None;
        std::future::poll_fn(|context| self.poll_done(context, &mut place)).await
    }

    /// `place` is where the caller's waker is.
    fn poll_done(&self, context: &Context<'_>, place: &mut Option<usize>) -> Poll<&Published> {
        if let Some(published) = self.outcome.get() {
            return Poll::Ready(published);
        }
        let mut waiting = self.waiting();
        // Whoever completes it takes the wakers out after that.
        if let Some(published) = self.outcome.get() {
            return Poll::Ready(published);
        }
        match place.and_then(|place| waiting.get_mut(place)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                *place = Some(waiting.len());
                waiting.push(context.waker().clone());
            }
        }
        Poll::Pending
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_is_told_once_by_its_last_waker() {
        let cell = Cell::default();
        let (first, last, other) = (
            Arc::<Told>::default(),
            Arc::<Told>::default(),
            Arc::<Told>::default(),
        );
        let mut waits = std::pin::pin!(cell.done());
        let mut waits_too = std::pin::pin!(cell.done());
        for told in [&first, &last] {
            let waker = Waker::from(Arc::clone(told));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let waker = Waker::from(Arc::clone(&other));
        assert!(
            waits_too
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert!(!cell.is_done());
        cell.complete(Published::each(Vec::new()));
        assert_eq!(
            [&first, &last, &other].map(|told| told.0.load(Ordering::Relaxed)),
            [0, 1, 1]
        );
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert!(
            std::pin::pin!(cell.done())
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        );
    }
}
