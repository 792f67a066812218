//! From open over draining to closed.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;

use tokio::sync::{Notify, Semaphore};

/// How far closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// Calls are taken.
    Open,
    /// Nothing new is taken and readers are woken; what was accepted is still stored and settled.
    Draining,
    /// Every call answers that the broker is closed.
    Closed,
}

/// The stage of a broker, and those who wait for the next one.
#[derive(Debug)]
pub(super) struct Lifecycle {
    stage: AtomicU8,
    draining: Notify,
    closed: Notify,
    /// One task closes; the others wait for it, and one of them goes on where it was dropped.
    pub(super) closer: Semaphore,
    pub(super) let_go: AtomicBool,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            stage: AtomicU8::new(Stage::Open as u8),
            draining: Notify::new(),
            closed: Notify::new(),
            closer: Semaphore::new(1),
            let_go: AtomicBool::new(false),
        }
    }

    /// Whether closing has come as far as `stage`.
    #[inline]
    pub(super) fn reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::SeqCst) >= stage as u8
    }

    /// Goes on to `stage`; there is no way back.
    pub(super) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::SeqCst);
        if stage >= Stage::Draining {
            self.draining.notify_waiters();
        }
        if stage >= Stage::Closed {
            self.closed.notify_waiters();
        }
    }

    /// Runs `future`; `None` where `stage` is reached first.
    pub(super) async fn unless<F: Future>(&self, stage: Stage, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut reached = pin!(match stage {
            Stage::Open | Stage::Draining => self.draining.notified(),
            Stage::Closed => self.closed.notified(),
        });
        reached.as_mut().enable();
        if self.reached(stage) {
            return None;
        }
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => reached.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}
