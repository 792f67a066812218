//! Locks, atomics and time: the real ones, or those of the race checker.
//!
//! The rest of the crate imports them from here, so that the checker sees every step that another thread can see.

#[cfg(feature = "shuttle")]
mod checked;
#[cfg(not(feature = "shuttle"))]
mod real;

#[cfg(feature = "shuttle")]
pub use checked::advance;
#[cfg(feature = "shuttle")]
pub(crate) use checked::{
    AtomicBool, AtomicU64, AtomicUsize, Instant, Mutex, MutexGuard, RECHECK, RwLock, fence, sleep_until,
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use real::{
    AtomicBool, AtomicU64, AtomicUsize, Instant, Mutex, MutexGuard, RECHECK, RwLock, fence, sleep_until,
};
pub(crate) use std::sync::atomic::Ordering;

/// On cache lines of its own: who changes it does not disturb those who use what lies beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);
