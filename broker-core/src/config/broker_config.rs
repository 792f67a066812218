//! The settings that every broker has, whatever its provider.

use std::time::Duration;

use serde::Deserialize;

use super::duration;
use crate::values::{Capabilities, ConsumerName, Error, Result};

/// The settings that every broker has.
///
/// Three groups: how often a failing message is delivered before it goes to the dead letters; how calls to the server
/// are retried, timed out and cut off; and bounds.
///
/// ```
/// use broker::config::BrokerConfig;
/// use std::time::Duration;
///
/// let config = BrokerConfig { max_retries: 5, retry_delay: Duration::from_secs(2), ..Default::default() };
/// assert_eq!(config.max_attempts(), 6);
/// assert_eq!(config.delay_after(3), Duration::from_secs(8)); // 2, 4, 8, up to max_delay
/// ```
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BrokerConfig {
    /// The provider's name, or its URL scheme.
    pub provider: String,
    /// Capabilities without which opening fails.
    pub require: Capabilities,
    /// How often a message is delivered again after its first failure; then it goes to the dead letters.
    pub max_retries: u32,
    /// The wait before the first redelivery of a failed message.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub retry_delay: Duration,
    /// By what each further wait is longer than the one before.
    pub backoff_multiplier: f64,
    /// The longest wait before a redelivery.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub max_delay: Duration,
    /// Whether waits are shortened by a random part of up to half, so that failures do not march in step.
    pub jitter: bool,
    /// The lease: how long a consumer has to settle a delivery before the message goes to another.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub message_timeout: Duration,
    /// Whether messages that failed too often are kept as dead letters; else they are discarded and counted.
    pub enable_dlq: bool,
    /// The largest payload, in bytes, that is published.
    pub max_payload: usize,
    /// This process's name within its groups; stable over restarts. The default is the host's name and an ordinal.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub consumer: Option<ConsumerName>,
    /// How long connecting may take.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub connect_timeout: Duration,
    /// How long a call to the server may take, retries included; a read's own wait comes on top.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub operation_timeout: Duration,
    /// How often a call that certainly did nothing is tried again.
    pub operation_retries: u32,
    /// The wait before the first of these retries; it doubles, with jitter, up to a second.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub operation_retry_delay: Duration,
    /// Whether a publish whose outcome is unknown is sent again, at the risk of a duplicate.
    pub retry_unknown: bool,
    /// How long a ping may take before the broker counts as down.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub ping_timeout: Duration,
    /// After how many failed calls in a row further ones are refused at once; zero switches that off.
    pub circuit_breaker_failures: u32,
    /// How long calls are refused before one is let through to probe.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub circuit_breaker_reset: Duration,
}

impl BrokerConfig {
    /// The names of all these settings.
    pub(super) const FIELDS: &'static [&'static str] = &[
        "provider",
        "require",
        "max_retries",
        "retry_delay",
        "backoff_multiplier",
        "max_delay",
        "jitter",
        "message_timeout",
        "enable_dlq",
        "max_payload",
        "consumer",
        "connect_timeout",
        "operation_timeout",
        "operation_retries",
        "operation_retry_delay",
        "retry_unknown",
        "ping_timeout",
        "circuit_breaker_failures",
        "circuit_breaker_reset",
    ];

    /// How long to wait before the delivery that follows attempt number `attempt`, without jitter.
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.retry_delay.as_secs_f64() * self.backoff_multiplier.powi(exponent);
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.max_delay)
            .min(self.max_delay)
    }

    /// How often a message is delivered in all.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_retries.saturating_add(1)
    }

    /// Checks what types alone don't; `place_of` tells where a key was written.
    pub(crate) fn validate(&self, place_of: impl Fn(&str) -> String) -> Result<()> {
        let refuse = |key: &str, expected: &str| Err(Error::config(place_of(key), expected));
        if !(self.backoff_multiplier.is_finite() && self.backoff_multiplier >= 1.0) {
            return refuse("backoff_multiplier", "a number from 1.0 is expected");
        }
        for (key, duration, may_be_zero) in [
            ("retry_delay", self.retry_delay, true),
            ("max_delay", self.max_delay, true),
            ("message_timeout", self.message_timeout, false),
            ("connect_timeout", self.connect_timeout, false),
            ("operation_timeout", self.operation_timeout, false),
            ("operation_retry_delay", self.operation_retry_delay, true),
            ("ping_timeout", self.ping_timeout, false),
            ("circuit_breaker_reset", self.circuit_breaker_reset, true),
        ] {
            if duration.is_zero() && !may_be_zero {
                return refuse(key, "a duration above zero is expected");
            }
            // Beyond it a deadline would overflow the clock.
            if duration > Self::LONGEST {
                return refuse(key, "a duration of at most 365 days is expected");
            }
        }
        Ok(())
    }

    /// The longest duration of any setting.
    const LONGEST: Duration = Duration::from_secs(86_400 * 365);
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            provider: String::new(),
            require: Capabilities::empty(),
            max_retries: 3,
            retry_delay: Duration::from_secs(1),
            backoff_multiplier: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: true,
            message_timeout: Duration::from_secs(300),
            enable_dlq: true,
            max_payload: 1024 * 1024,
            consumer: None,
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(30),
            operation_retries: 3,
            operation_retry_delay: Duration::from_millis(50),
            retry_unknown: false,
            ping_timeout: Duration::from_secs(2),
            circuit_breaker_failures: 10,
            circuit_breaker_reset: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap() {
        let config = BrokerConfig::default();
        let waits: Vec<_> = (1..=8)
            .map(|attempt| config.delay_after(attempt).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(config.delay_after(u32::MAX), config.max_delay);
    }

    #[test]
    fn the_list_of_fields_is_the_struct() {
        // An unknown key reaches the deserializer with the derive's own list.
        struct Fields;
        impl<'de> serde::Deserializer<'de> for Fields {
            type Error = serde::de::value::Error;
            fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom("not asked for"))
            }
            fn deserialize_struct<V: serde::de::Visitor<'de>>(
                self,
                _: &'static str,
                fields: &'static [&'static str],
                _: V,
            ) -> Result<V::Value, Self::Error> {
                assert_eq!(fields, BrokerConfig::FIELDS);
                Err(serde::de::Error::custom("seen"))
            }
            serde::forward_to_deserialize_any! {
                bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
                newtype_struct seq tuple tuple_struct map enum identifier ignored_any
            }
        }
        assert_eq!(BrokerConfig::deserialize(Fields).unwrap_err().to_string(), "seen");
    }
}
