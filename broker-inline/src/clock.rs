//! Two clocks: a monotonic one for leases and delays, the wall's for what people see.

use std::time::{Duration, SystemTime};

use broker_window::Moment;

use crate::sync::Instant;

/// The monotonic clock: tokio's, so that a test can pause it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        Moment::at(Instant::now() - self.0)
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
