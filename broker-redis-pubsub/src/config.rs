//! The provider's own settings.

use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::duration;
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Capabilities, Error, Result};
use broker_redis_common::connection_settings;
use serde::Deserialize;

use crate::broker::RedisPubsub;

connection_settings! {
    /// Where the server is and how to talk to it.
    ///
    /// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own. Of the connections for
    /// blocking readers, mode `queue` makes use.
    ///
    /// ```
    /// use broker_core::{Broker, Capabilities};
    /// use broker_redis_pubsub::{Mode, RedisPubsubConfig};
    ///
    /// let server = RedisPubsubConfig::new("redis://localhost:6379/1")?;
    /// let broker = Broker::open(RedisPubsubConfig { mode: Mode::Queue, ..server })?; // connects at the first call
    /// assert!(broker.has_capability(Capabilities::RELIABLE_MESSAGING));
    /// # Ok::<(), broker_core::Error>(())
    /// ```
    pub struct RedisPubsubConfig {
        /// How long one wait at the server takes, in mode `queue`.
        #[serde(with = "duration")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
        pub block_slice: Duration = Duration::from_secs(5),
        /// How often a waiting reader looks for messages of programs that wake nobody.
        #[serde(with = "duration")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
        pub poll_interval: Duration = Duration::from_secs(1),
        /// What a stream is made of, and with that which guarantees it gives.
        pub mode: Mode = Mode::default(),
        /// How messages are written.
        pub format: WireFormat = WireFormat::default(),
        /// How many messages that every group has done with are kept for groups to come, in the modes `list` and `queue`.
        pub history: u64 = 10_000,
        /// How many messages a listener of mode `channel` may be behind; what comes on top is dropped and counted.
        pub buffer: usize = 10_000,
        /// How many bytes a listener of mode `channel` may be behind.
        pub buffer_bytes: usize = 64 * 1024 * 1024,
    }
}

/// What a stream is made of.
///
/// ```
/// use broker_core::Capabilities;
/// use broker_redis_pubsub::Mode;
///
/// assert!(Mode::Queue.capabilities().has_capability(Capabilities::DELIVERY_GUARANTEES));
/// assert!(!Mode::Channel.capabilities().has_capability(Capabilities::CONSUMER_GROUPS));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A list with a position per group: at most once, in order.
    #[default]
    List,
    /// A Redis channel: who listens at the moment hears it.
    Channel,
    /// A list with leases and attempts beside it: at least once.
    Queue,
}

impl Mode {
    /// The mode as it is written in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Channel => "channel",
            Self::Queue => "queue",
        }
    }

    /// What the mode claims.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::List => Capabilities::SIMPLE_QUEUING
                .union(Capabilities::MESSAGE_ORDERING)
                .union(Capabilities::BLOCKING_READ),
            Self::Channel => Capabilities::BASIC_PUBSUB.union(Capabilities::PATTERN_SUBSCRIPTION),
            Self::Queue => Capabilities::RELIABLE_MESSAGING
                .union(Capabilities::BLOCKING_READ)
                .union(Capabilities::LEASE_EXTENSION),
        }
    }
}

/// How messages are written. All are read, whatever is set here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// JSON objects without further metadata as `[id, object]`, everything else in an envelope.
    #[default]
    Native,
    /// Only `[id, object]`, with positions where the Python framework Protean keeps them; lists are not trimmed.
    Protean,
    /// The bare payload, for programs that know nothing else; a message with a key or headers is refused.
    Plain,
}

impl RedisPubsubConfig {
    fn check(&self) -> Result<()> {
        let connection = self.connection();
        connection.check()?;
        for (place, duration) in [
            ("block_slice", self.block_slice),
            ("poll_interval", self.poll_interval),
        ] {
            if duration.is_zero() {
                return Err(Error::config(place, "a duration above zero is expected"));
            }
        }
        if connection.is_cluster()? && self.mode == Mode::List && self.format == WireFormat::Protean {
            return Err(Error::config(
                "format",
                "`protean` keeps a list's positions under keys that lie on other nodes of a cluster; use `native`",
            ));
        }
        if self.buffer == 0 || self.buffer_bytes == 0 {
            return Err(Error::config(
                "buffer and buffer_bytes",
                "numbers from 1 are expected",
            ));
        }
        Ok(())
    }
}

impl ProviderConfig for RedisPubsubConfig {
    type Broker = RedisPubsub;
    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, context: OpenContext) -> Result<RedisPubsub> {
        self.check()?;
        RedisPubsub::open(self, context)
    }
}

/// The provider with the schema of its settings.
#[cfg(feature = "schema")]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider.schema(|| schemars::schema_for!(RedisPubsubConfig).to_value())
}

/// The provider; this build is without schemas.
#[cfg(not(feature = "schema"))]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_protean_need_one_node() {
        let config = |uri: &str, mode: Mode| RedisPubsubConfig {
            mode,
            format: WireFormat::Protean,
            ..RedisPubsubConfig::new(uri).unwrap()
        };
        assert!(config("redis://a", Mode::List).check().is_ok());
        assert!(config("redis://a,b", Mode::Queue).check().is_ok());
        let refusal = config("redis://a,b", Mode::List).check().unwrap_err().to_string();
        assert!(
            refusal.contains("format: `protean` keeps a list's positions"),
            "{refusal}"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let fresh = RedisPubsubConfig::default;
        for (config, line) in [
            (
                RedisPubsubConfig {
                    block_slice: Duration::ZERO,
                    ..fresh()
                },
                "block_slice: a duration above zero is expected",
            ),
            (
                RedisPubsubConfig {
                    poll_interval: Duration::ZERO,
                    ..fresh()
                },
                "poll_interval: a duration above zero is expected",
            ),
            (
                RedisPubsubConfig { buffer: 0, ..fresh() },
                "buffer and buffer_bytes: numbers from 1 are expected",
            ),
            (
                RedisPubsubConfig {
                    pool_size: 0,
                    ..fresh()
                },
                "pool_size: a number from 1 is expected",
            ),
        ] {
            let refusal = config.check().unwrap_err().to_string();
            assert!(refusal.contains(line), "{refusal}");
        }
    }
}
