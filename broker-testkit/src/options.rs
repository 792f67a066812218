//! How one broker of a check differs from the others.

use std::time::Duration;

use broker_core::config::Settings;

/// How one broker of a check differs from the suite's usual one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(&'static str, toml::Value)>,
}

impl Options {
    /// The suite's usual broker: a long lease, a short back-off without jitter.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the lease.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set("message_timeout", duration(lease))
    }

    /// Sets how often a message is delivered again after its first failure.
    #[must_use]
    pub fn max_retries(self, retries: u32) -> Self {
        self.set("max_retries", i64::from(retries))
    }

    /// Sets the wait before the first redelivery.
    #[must_use]
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.set("retry_delay", duration(delay))
    }

    /// Sets the consumer's name.
    #[must_use]
    pub fn consumer(self, name: &str) -> Self {
        self.set("consumer", name)
    }

    /// Sets the largest payload.
    #[must_use]
    pub fn max_payload(self, bytes: usize) -> Self {
        self.set("max_payload", i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// Sets whether failed messages are kept as dead letters.
    #[must_use]
    pub fn enable_dlq(self, enable: bool) -> Self {
        self.set("enable_dlq", enable)
    }

    /// Sets any common or provider's setting.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value.into()));
        self
    }

    /// These options over others.
    #[must_use]
    pub(crate) fn over(self, below: Self) -> Self {
        self.settings
            .into_iter()
            .fold(below, |options, (key, value)| options.set(key, value))
    }

    pub(crate) fn apply(&self, settings: &mut Settings) {
        for (key, value) in &self.settings {
            settings.set(key, value.clone(), Some(format!("conformance suite: {key}")));
        }
    }
}

fn duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
