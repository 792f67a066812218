//! Two clocks: a monotonic one for leases and delays, the wall's for what people see.

use std::time::{Duration, SystemTime};

use crate::sync::Instant;

/// A moment on the monotonic clock, in nanoseconds since the state was made. Small enough for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// A moment that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The moment `by` later.
    #[inline]
    pub(crate) fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// How long ago `earlier` was.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The monotonic clock: tokio's, so that a test can pause it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        Moment(nanos(Instant::now() - self.0))
    }

    /// `moment` as a timer wants it; `None` for one that never comes.
    pub(crate) fn instant(&self, moment: Moment) -> Option<Instant> {
        self.0
            .checked_add(Duration::from_nanos(moment.0))
            .filter(|_| moment != Moment::NEVER)
    }
}

/// A moment on the wall's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(SystemTime);

impl Stamp {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(SystemTime::now())
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        Self(time)
    }
}

impl From<Stamp> for SystemTime {
    fn from(stamp: Stamp) -> Self {
        stamp.0
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
