//! The circuit breaker: a server that fails call after call is left alone for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::values::{Error, ErrorKind, Result};

/// Counts failures in a row, and refuses calls after too many of them.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_to_open: u32,
    reset: Duration,
    /// Whether the state is anything but `Closed` without failures: the hot path looks at nothing else.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call was let through to probe; its outcome decides.
    HalfOpen {
        since: Instant,
    },
}

impl Breaker {
    /// Opens after `failures_to_open` failures in a row, never where that is zero, and probes after `reset`.
    pub(super) fn new(failures_to_open: u32, reset: Duration) -> Self {
        let state = Mutex::new(State::Closed { failures: 0 });
        Self {
            failures_to_open,
            reset,
            troubled: AtomicBool::new(false),
            state,
        }
    }

    /// Lets a call through, or refuses it. One that is let through once the circuit was open is the probe.
    pub(super) fn admit(&self) -> Result<()> {
        self.pass(true)
    }

    /// Refuses what [`admit`](Self::admit) would refuse now, and leaves the probe to it.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        self.pass(false)
    }

    #[inline]
    fn pass(&self, probes: bool) -> Result<()> {
        if !self.troubled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.pass_troubled(probes)
    }

    #[cold]
    fn pass_troubled(&self, probes: bool) -> Result<()> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed { .. } => Ok(()),
            // A probe whose caller went away decides nothing; after as long again the next one may try.
            State::HalfOpen { since } if now < since + self.reset => Err(refused(since + self.reset - now)),
            State::Open { until } if now < until => Err(refused(until - now)),
            State::Open { .. } | State::HalfOpen { .. } => {
                if probes {
                    *state = State::HalfOpen { since: now };
                }
                Ok(())
            }
        }
    }

    /// A call was answered, be it with an error of its own making.
    pub(super) fn succeeded(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed { failures: 0 };
            self.troubled.store(false, Ordering::Relaxed);
        }
    }

    /// The server was not there.
    pub(super) fn failed(&self) {
        if self.failures_to_open == 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.troubled.store(true, Ordering::Relaxed);
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.failures_to_open => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } | State::HalfOpen { .. } => State::Open {
                until: Instant::now() + self.reset,
            },
            State::Open { until } => State::Open { until },
        };
    }

    /// Whether calls are refused now.
    pub(super) fn is_open(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
            && !matches!(
                *self.state.lock().unwrap_or_else(PoisonError::into_inner),
                State::Closed { .. }
            )
    }
}

fn refused(left: Duration) -> Error {
    Error::new(
        ErrorKind::CircuitOpen,
        "too many calls failed in a row; the next one is tried later",
    )
    .with(
        "retry_in",
        humantime::format_duration(Duration::from_millis(
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_probes_and_closes() {
        let breaker = Breaker::new(3, Duration::from_secs(5));
        for _ in 0..3 {
            assert!(breaker.admit().is_ok());
            breaker.failed();
        }
        assert_eq!(breaker.admit().unwrap_err().kind(), ErrorKind::CircuitOpen);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(
            breaker.check().is_ok() && breaker.check().is_ok(),
            "looking takes no probe"
        );
        assert!(breaker.admit().is_ok(), "one probe goes through");
        assert!(breaker.admit().is_err(), "and only one");
        breaker.failed();
        assert!(breaker.admit().is_err(), "a failed probe opens again");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(breaker.admit().is_ok());
        breaker.succeeded();
        assert!(breaker.admit().is_ok() && breaker.admit().is_ok() && !breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_starts_the_count_anew() {
        let breaker = Breaker::new(2, Duration::from_secs(5));
        for _ in 0..10 {
            breaker.failed();
            breaker.succeeded();
        }
        assert!(breaker.admit().is_ok());
    }
}
