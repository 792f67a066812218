//! How many redeliveries a second a subscriber may cause.

use std::time::Duration;

use tokio::time::Instant;

/// How much of a second's redeliveries may come at once.
const BURST: Duration = Duration::from_millis(100);

/// Spaces redeliveries out, so that a handler that always fails does not become a hot loop.
#[derive(Debug)]
pub(crate) struct Budget {
    gap: Option<Duration>,
    next: Option<Instant>,
}

impl Budget {
    /// At most `per_second` redeliveries; no bound where that is no positive number.
    pub(crate) fn new(per_second: f64) -> Self {
        let gap = (per_second > 0.0)
            .then(|| Duration::try_from_secs_f64(1.0 / per_second).ok())
            .flatten();
        Self { gap, next: None }
    }

    /// Takes the next place; answers how long the message has to rest at least.
    pub(crate) fn reserve(&mut self, wanted: Duration) -> Duration {
        let Some(gap) = self.gap else {
            return wanted;
        };
        let now = Instant::now();
        let due = now + wanted;
        let next = self
            .next
            .map_or(due, |next| next.max(due.checked_sub(BURST).unwrap_or(due)));
        self.next = Some(next + gap);
        next.max(due) - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_over_the_budget_rests_longer() {
        let mut budget = Budget::new(10.0);
        let rests: Vec<_> = (0..31).map(|_| budget.reserve(Duration::ZERO)).collect();
        assert!(
            rests
                .iter()
                .filter(|rest| **rest < Duration::from_secs(1))
                .count()
                <= 11
        );
        assert!(*rests.last().unwrap() >= Duration::from_millis(2800));
        assert_eq!(Budget::new(f64::INFINITY).reserve(Duration::ZERO), Duration::ZERO);
    }
}
