//! Locks and atomics of the race checker, and a clock that only a scenario moves.

use std::future::poll_fn;
use std::ops::{Add, Sub};
use std::sync::PoisonError;
use std::task::Poll;
use std::time::Duration;

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
pub(crate) use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// Nanoseconds since the program started, as far as scenarios moved the clock; outside of what is checked.
static NOW: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Moves the clock of every broker in this program.
pub fn advance(by: Duration) {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    NOW.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
    shuttle::thread::yield_now();
}

/// A moment of the scenario's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(Duration::from_nanos(
            NOW.load(std::sync::atomic::Ordering::SeqCst),
        ))
    }

    pub(crate) fn checked_add(&self, by: Duration) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0 + by)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// As the real one.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the real one.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a scenario has moved the clock there. The far future never comes, so that a lost wake-up is a deadlock
/// which the checker reports.
pub(crate) async fn sleep_until(moment: Option<Instant>) {
    poll_fn(|context| match moment {
        Some(moment) if Instant::now() >= moment => Poll::Ready(()),
        Some(_) => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
        None => Poll::Pending,
    })
    .await;
}

/// Never, so that a wake-up which is missing shows.
pub(crate) const RECHECK: Option<Duration> = None;
