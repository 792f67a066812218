//! The provider's own settings.

use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::duration;
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Error, Result};
use broker_redis_common::connection_settings;
use serde::Deserialize;

use crate::broker::RedisStreams;

connection_settings! {
    /// Where the server is and how to talk to it.
    ///
    /// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own.
    ///
    /// ```
    /// use broker_core::{Broker, Capabilities};
    /// use broker_redis_streams::RedisStreamsConfig;
    ///
    /// let server = RedisStreamsConfig::new("redis://localhost:6379/1")?;
    /// let broker = Broker::open(RedisStreamsConfig { partitions: 4, ..server })?; // connects at the first call
    /// assert!(broker.has_capability(Capabilities::ENTERPRISE_STREAMING));
    /// # Ok::<(), broker_core::Error>(())
    /// ```
    pub struct RedisStreamsConfig {
        /// How many partitions a stream is made with. A stream that is there keeps its own number.
        pub partitions: u32 = 1,
        /// How long one blocking read stays at the server; bounds how long leaving takes where it can't be woken.
        #[serde(with = "duration")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
        pub block_slice: Duration = Duration::from_secs(5),
        /// Within which time a second publish of the same message id stores nothing; unset, ids are not looked at.
        #[serde(with = "duration::option")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::option::schema"))]
        pub dedup_window: Option<Duration> = None,
        /// How many messages a stream keeps; unset, no number bounds it. What a group still needs stays.
        pub retention_length: Option<u64> = None,
        /// For how long a stream keeps messages; unset, no age bounds it. What a group still needs stays.
        #[serde(with = "duration::option")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::option::schema"))]
        pub retention_age: Option<Duration> = None,
        /// Whether what is over those bounds goes at once; the default lets some of it stay, which is cheaper.
        pub retention_exact: bool = false,
        /// Whether it goes even if a group still needs it; what is lost that way is counted and told.
        pub retention_force: bool = false,
        /// After how long without a sign of life a member is removed from its group; what it had goes to others.
        #[serde(with = "duration")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
        pub reap_after: Duration = Duration::from_secs(86_400),
        /// What is written: `native` keeps everything, `protean` is one JSON field as the Python framework reads it.
        pub format: WireFormat = WireFormat::default(),
    }
}

/// How messages are written. Both are read, whatever is set here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// The payload in `data`, the rest in fields beside it.
    #[default]
    Native,
    /// Only `data`; a message with a key or headers is refused rather than cut down.
    Protean,
}

impl RedisStreamsConfig {
    fn check(&self) -> Result<()> {
        self.connection().check()?;
        if !(1..=1024).contains(&self.partitions) {
            return Err(Error::config("partitions", "a number from 1 to 1024 is expected"));
        }
        if self.block_slice.is_zero() {
            return Err(Error::config("block_slice", "a duration above zero is expected"));
        }
        if self.reap_after.is_zero() || self.retention_age.is_some_and(|age| age.is_zero()) {
            return Err(Error::config(
                "reap_after and retention_age",
                "durations above zero are expected",
            ));
        }
        Ok(())
    }
}

impl ProviderConfig for RedisStreamsConfig {
    type Broker = RedisStreams;
    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, context: OpenContext) -> Result<RedisStreams> {
        self.check()?;
        RedisStreams::open(self, context)
    }
}

/// The provider with the schema of its settings.
#[cfg(feature = "schema")]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider.schema(|| schemars::schema_for!(RedisStreamsConfig).to_value())
}

/// The provider; this build is without schemas.
#[cfg(not(feature = "schema"))]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider
}
