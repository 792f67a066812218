//! One policy: attempts, back-off, what is permanent, and how many redeliveries a second.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_core::config::BrokerConfig;

use crate::handler::{Permanent, Undecodable};

/// Redeliveries per second of one subscriber unless told otherwise: far above what any back-off gives, and far below a
/// hot loop.
const BUDGET: f64 = 1000.0;

/// The longest wait: beyond it a deadline would overflow the clock.
const LONGEST: Duration = Duration::from_secs(86_400 * 365);

/// When a failed message is tried again: how often, how long it rests before, and which errors are permanent. After the
/// last attempt, or a permanent error, it goes to the dead letters.
///
/// ```
/// use std::time::Duration;
/// use broker_engine::RetryPolicy;
///
/// let policy = RetryPolicy::attempts(5).delay(Duration::from_millis(200)).permanent::<std::num::ParseIntError>();
/// # let _ = policy;
/// ```
#[derive(Clone)]
pub struct RetryPolicy {
    pub(crate) attempts: u32,
    delay: Duration,
    multiplier: f64,
    max_delay: Duration,
    jitter: bool,
    pub(crate) budget: f64,
    permanent: Vec<Arc<IsPermanent>>,
}

type IsPermanent = dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync;

impl RetryPolicy {
    /// Tries a message so often in all, at least once; waits as a broker's defaults do.
    #[must_use]
    pub fn attempts(attempts: u32) -> Self {
        let mut policy = Self::of(&BrokerConfig::default());
        policy.attempts = attempts.max(1);
        policy
    }

    /// The policy of a broker's settings.
    #[must_use]
    pub fn of(config: &BrokerConfig) -> Self {
        Self {
            attempts: config.max_attempts(),
            delay: config.retry_delay,
            multiplier: config.backoff_multiplier,
            max_delay: config.max_delay,
            jitter: config.jitter,
            budget: BUDGET,
            permanent: Vec::new(),
        }
    }

    /// Sets the wait before the second attempt.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets by what each further wait is longer than the one before; at least 1.
    #[must_use]
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = if multiplier.is_finite() {
            multiplier.max(1.0)
        } else {
            1.0
        };
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets whether waits are shortened by a random part of up to half.
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how many redeliveries a second a subscriber may cause; what is over it rests longer. The default is 1,000.
    #[must_use]
    pub fn budget(mut self, per_second: f64) -> Self {
        self.budget = per_second;
        self
    }

    /// Counts errors of this type as permanent, at whatever depth.
    #[must_use]
    pub fn permanent<E: StdError + 'static>(self) -> Self {
        self.permanent_if(|error| error.is::<E>())
    }

    /// Counts errors as permanent for which `is_permanent` is true; it is asked for each error of the chain.
    #[must_use]
    pub fn permanent_if(
        mut self,
        is_permanent: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.permanent.push(Arc::new(is_permanent));
        self
    }

    /// Whether trying again can't mend `error`.
    #[must_use]
    pub fn is_permanent(&self, error: &(dyn StdError + 'static)) -> bool {
        std::iter::successors(Some(error), |error| (*error).source()).any(|error| {
            error.is::<Permanent>()
                || error.is::<Undecodable>()
                || self.permanent.iter().any(|is_permanent| is_permanent(error))
        })
    }

    /// How long to wait after attempt number `attempt` failed, without jitter.
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.delay.as_secs_f64() * self.multiplier.powi(exponent);
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.max_delay)
            .min(self.max_delay)
            .min(LONGEST)
    }

    /// How long to wait after attempt number `attempt` failed.
    pub(crate) fn wait_after(&self, attempt: u32) -> Duration {
        let delay = self.delay_after(attempt);
        if self.jitter {
            delay.mul_f64(1.0 - fastrand::f64() / 2.0)
        } else {
            delay
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("attempts", &self.attempts)
            .field("delay", &self.delay)
            .field("multiplier", &self.multiplier)
            .field("max_delay", &self.max_delay)
            .field("jitter", &self.jitter)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap_and_jitter_only_shortens_them() {
        let policy = RetryPolicy::attempts(9)
            .delay(Duration::from_secs(1))
            .multiplier(3.0)
            .max_delay(Duration::from_secs(20));
        let waits: Vec<_> = (1..=5)
            .map(|attempt| policy.delay_after(attempt).as_secs())
            .collect();
        assert_eq!(waits, [1, 3, 9, 20, 20]);
        for attempt in 1..200 {
            let (most, wait) = (policy.delay_after(attempt), policy.wait_after(attempt));
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
        }
    }

    #[test]
    fn permanence_is_found_at_any_depth() {
        let parse = "x".parse::<u32>().unwrap_err();
        let outer = broker_core::Error::new(broker_core::ErrorKind::Unexpected, "no number").source(parse);
        assert!(
            RetryPolicy::attempts(3)
                .permanent::<std::num::ParseIntError>()
                .is_permanent(&outer)
        );
        assert!(!RetryPolicy::attempts(3).is_permanent(&outer));
        assert!(RetryPolicy::attempts(3).is_permanent(&Permanent::new("gone")));
    }
}
