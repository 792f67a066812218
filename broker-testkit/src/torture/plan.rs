//! How much torture, and of whom.

use std::path::PathBuf;
use std::time::Duration;

/// How much torture, and of whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Torture {
    /// What all choices come from.
    pub seed: u64,
    /// How many messages are to be stored.
    pub messages: Option<u64>,
    /// For how long is published.
    pub duration: Option<Duration>,
    /// Messages a second at most; where both bounds are set and no rate is, the messages are spread over the time.
    pub rate: Option<u64>,
    /// How many tasks publish.
    pub publishers: u32,
    /// How many processes consume.
    pub consumers: usize,
    /// How many keys the messages have.
    pub keys: u32,
    /// The stream, which should be empty.
    pub stream: String,
    /// The group.
    pub group: String,
    /// Where the journals and logs of the consumer processes are kept; nowhere, unless it is set.
    pub keep: Option<PathBuf>,
}

impl Torture {
    /// A run of these choices: without bounds it publishes 10,000 messages.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            messages: None,
            duration: None,
            rate: None,
            publishers: 4,
            consumers: 4,
            keys: 256,
            stream: format!("torture-{seed:x}"),
            group: "tortured".to_owned(),
            keep: None,
        }
    }

    /// How many messages are to be stored; `None` where the time alone bounds them.
    pub(super) fn bound(&self) -> Option<u64> {
        let default = self.duration.is_none().then_some(10_000);
        self.messages.or(default)
    }

    /// How many messages may be stored after so much time.
    pub(super) fn allowed(&self, after: Duration) -> u64 {
        let bound = self.bound().unwrap_or(u64::MAX);
        let rate = match (self.rate, self.bound(), self.duration) {
            (Some(rate), ..) => rate as f64,
            (None, Some(messages), Some(duration)) => messages as f64 / duration.as_secs_f64().max(0.001),
            (None, None, Some(_)) => 1_000.0,
            (None, _, None) => return bound,
        };
        // One batch at the beginning, so that it begins at once.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate times a time, both positive; it saturates"
        )]
        let paced = (rate * after.as_secs_f64()) as u64 + 1;
        bound.min(paced)
    }

    /// For how long publishing may take: a run whose messages can't be stored must end too.
    pub(super) fn is_over(&self, after: Duration) -> bool {
        match (self.duration, self.bound()) {
            (Some(duration), None) => after >= duration,
            // The time is a pace here, and the faults may hold it up.
            (Some(duration), Some(_)) => after >= duration * 4 + Duration::from_secs(60),
            (None, _) => after >= Duration::from_secs(3600),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Messages stored.
    pub stored: u64,
    /// Messages settled.
    pub settled: u64,
    /// Faults so far.
    pub faults: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spread_over_the_time_where_both_are_given() {
        let mut torture = Torture::new(1);
        assert_eq!(torture.allowed(Duration::ZERO), 10_000);
        torture.messages = Some(600);
        torture.duration = Some(Duration::from_secs(60));
        assert_eq!(torture.allowed(Duration::from_secs(30)), 301);
        assert_eq!(torture.allowed(Duration::from_secs(90)), 600);
    }
}
