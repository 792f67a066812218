//! Locks and atomics of the race checker, and a clock that only a scenario moves.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
pub(crate) use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

std::thread_local! {
    /// How far scenarios moved the clock. The checker runs all threads of a scenario in one, and each test in its own.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Moves the clock of every broker in this scenario. It wakes nobody: who looks at the clock then, sees it.
pub fn advance(by: Duration) {
    NOW.with(|now| now.set(now.get() + by));
    shuttle::thread::yield_now();
}

/// A moment of the scenario's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.with(Cell::get))
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

/// Waits for good, unless the moment is past: so that a wake-up which is missing is a deadlock, and the checker
/// reports it.
pub(crate) async fn sleep_until(moment: Option<Instant>) {
    if moment.is_none_or(|moment| Instant::now() < moment) {
        std::future::pending::<()>().await;
    }
}

/// Never, so that a wake-up which is missing shows.
pub(crate) const RECHECK: Option<Duration> = None;
