//! Moments on a clock that only goes forward.

use std::time::Duration;

/// A moment on a monotonic clock, in nanoseconds since its owner began to count. Small enough for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment that is `by` after the beginning of the count.
    #[inline]
    pub fn at(by: Duration) -> Self {
        Self(nanos(by))
    }

    /// The moment `by` later.
    #[inline]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// How long ago `earlier` was; zero where it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Five hundred years fit.
#[inline]
fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
