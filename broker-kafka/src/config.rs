//! The provider's own settings.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::{BrokerUrl, duration};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Error, Result, Secret};
use serde::Deserialize;

use crate::broker::Kafka;
use crate::choices::{Acks, Assignment, Compression, Isolation, OffsetReset, SaslMechanism};
use crate::native::Native;
use crate::passed::Passed;

/// The port of a server that names none.
const PORT: u16 = 9092;

/// Where the servers are and how to talk to them.
///
/// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own.
///
/// ```
/// use broker_core::{Broker, Capabilities, Secret};
/// use broker_kafka::{Compression, KafkaConfig};
///
/// let config = KafkaConfig {
///     username: Some("orders".to_owned()),
///     password: Some(Secret::new("hunter2")),
///     compression: Compression::Lz4,
///     ..KafkaConfig::new(["one:9092", "two:9092"])
/// };
/// let broker = Broker::open(config)?; // connects at the first call
/// assert!(broker.has_capability(Capabilities::ENTERPRISE_STREAMING | Capabilities::TRANSACTIONS));
/// # Ok::<(), broker_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct KafkaConfig {
    /// `kafka://user:password@one:9092,two:9092`, or `kafkas://…` for TLS.
    pub uri: Option<BrokerUrl>,
    /// The first servers to ask, `host:port`; the default is `localhost:9092`.
    pub bootstrap_servers: Vec<String>,
    /// Whether to speak TLS; `kafkas://` says so too.
    pub tls: bool,
    /// The certificates to trust, in place of the system's: a PEM file, or its text.
    pub tls_ca: Option<String>,
    /// The client's certificate: a PEM file, or its text.
    pub tls_cert: Option<String>,
    /// The client's key: a PEM file, or its text.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub tls_key: Option<Secret>,
    /// The password of the client's key.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub tls_key_password: Option<Secret>,
    /// Accepts any server, whoever it is: for experiments only.
    pub danger_accept_any_certificate: bool,
    /// How to log in; the default is `PLAIN` where there is a user.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user.
    pub username: Option<String>,
    /// The user's password.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub password: Option<Secret>,
    /// How many copies a message must have before it counts as stored.
    pub acks: Acks,
    /// Whether the producer numbers its messages, so that its own retries neither double nor reorder them.
    pub idempotence: bool,
    /// How long a message may wait for others to travel with.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub linger: Duration,
    /// The most bytes of messages that travel together.
    pub batch_bytes: u32,
    /// How messages are compressed.
    pub compression: Compression,
    /// The most bytes of messages that wait to be sent; beyond it publishing waits.
    pub send_buffer_bytes: u64,
    /// How long the producer tries to store a message; the default is `operation_timeout`.
    #[serde(with = "duration::option")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::option::schema"))]
    pub delivery_timeout: Option<Duration>,
    /// How long a server may take to answer before its connection is given up and made anew; at least 2 s.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub response_timeout: Duration,
    /// After how much silence a member counts as dead.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub session_timeout: Duration,
    /// How often a member tells that it is alive.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub heartbeat_interval: Duration,
    /// After how long without a look at the library's client its membership ends; handlers don't keep a look from it.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub poll_interval: Duration,
    /// Where a group goes on whose position its log no longer has.
    pub offset_reset: OffsetReset,
    /// How partitions are shared among a group's members.
    pub assignment: Assignment,
    /// Whether messages of transactions that are not committed are seen.
    pub isolation: Isolation,
    /// The most bytes that are read ahead for one group, handed out ones that are not settled included.
    pub read_buffer_bytes: u64,
    /// The most bytes that the client library fetches ahead of that for one group.
    pub fetch_buffer_bytes: u64,
    /// How long what was settled may wait to be committed together.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub commit_interval: Duration,
    /// For how long acks are answered although the group takes no commits; after that an ack waits for one.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub commit_grace: Duration,
    /// How long a partition that goes to another member waits for what is in hand.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub revocation_wait: Duration,
    /// After how long a group that this process neither reads nor holds anything of is left to other members.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub idle_timeout: Duration,
    /// After how long a partition that has messages and brings none counts as silent: health is degraded then, and half as
    /// long later the group is joined anew.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub silence_timeout: Duration,
    /// Whether a refused message waits in a topic of its group, unless it is read in sequence, and not in memory.
    pub retry_topic: bool,
    /// How often the library's clients tell of themselves, to health and metrics; zero for never.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub statistics_interval: Duration,
    /// How long closing may take.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub close_timeout: Duration,
    /// Whether a stream that is not there is made.
    pub auto_create: bool,
    /// How many partitions a stream is made with; the default is the server's.
    pub partitions: Option<u32>,
    /// How many copies of it the servers keep; the default is theirs.
    pub replication: Option<u16>,
    /// How long its messages are kept; the default is the server's.
    #[serde(with = "duration::option")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::option::schema"))]
    pub retention: Option<Duration>,
    /// Further settings by librdkafka's own names, passed on as they are.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub kafka: BTreeMap<String, Passed>,
}

impl KafkaConfig {
    /// The settings for these servers, with everything else at its default.
    #[must_use]
    pub fn new<S: Into<String>>(bootstrap_servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The servers to ask first.
    pub(crate) fn servers(&self) -> String {
        if !self.bootstrap_servers.is_empty() {
            return self.bootstrap_servers.join(",");
        }
        let hosts = self.uri.as_ref().map_or(&[][..], BrokerUrl::hosts);
        let servers: Vec<_> = hosts
            .iter()
            .map(|(host, port)| format!("{host}:{}", port.unwrap_or(PORT)))
            .collect();
        if servers.is_empty() {
            return format!("localhost:{PORT}");
        }
        servers.join(",")
    }

    /// Whether to speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        let scheme = self.uri.as_ref().map(BrokerUrl::scheme);
        self.tls || scheme == Some("kafkas") || scheme == Some("kafka+ssl")
    }

    /// User and password.
    pub(crate) fn credentials(&self) -> (Option<&str>, Option<&Secret>) {
        let uri = self.uri.as_ref();
        (
            self.username
                .as_deref()
                .or_else(|| uri.and_then(BrokerUrl::username)),
            self.password
                .as_ref()
                .or_else(|| uri.and_then(BrokerUrl::password)),
        )
    }

    fn check(&self) -> Result<()> {
        let refuse = |key: &str, line: &str| Err(Error::config(key, line));
        if self.is_tls() && cfg!(not(feature = "tls")) {
            return refuse("tls", "this build is without the feature `tls`");
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return refuse("tls_cert and tls_key", "one needs the other; set both");
        }
        if !self.is_tls() && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            return refuse("tls", "certificates are set and TLS is not; use `kafkas://`");
        }
        if self.idempotence && self.acks != Acks::All {
            return refuse("idempotence", "it needs `acks = \"all\"`; change one of them");
        }
        if self.compression == Compression::Zstd && cfg!(not(feature = "zstd")) {
            return refuse("compression", "this build is without the feature `zstd`");
        }
        if self.compression == Compression::Gzip && cfg!(not(feature = "zlib")) {
            return refuse("compression", "this build is without the feature `zlib`");
        }
        if self.partitions == Some(0) || self.replication == Some(0) {
            return refuse("partitions and replication", "numbers from 1 are expected");
        }
        if self.response_timeout < Duration::from_secs(2) {
            // The library's own bound is its wait for messages and a second more.
            return refuse("response_timeout", "2s or more are expected");
        }
        if self.heartbeat_interval >= self.session_timeout {
            return refuse("heartbeat_interval", "less than session_timeout is expected");
        }
        if self.poll_interval < self.session_timeout {
            return refuse("poll_interval", "session_timeout or more is expected");
        }
        if self.silence_timeout < Duration::from_secs(1) {
            return refuse("silence_timeout", "1s or more are expected");
        }
        for (key, bytes) in [
            ("read_buffer_bytes", self.read_buffer_bytes),
            ("fetch_buffer_bytes", self.fetch_buffer_bytes),
            ("send_buffer_bytes", self.send_buffer_bytes),
        ] {
            if !(1024 * 1024..=2 * 1024 * 1024 * 1024 - 1024).contains(&bytes) {
                return refuse(key, "1 MiB to 2 GiB are expected");
            }
        }
        for key in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "group.id",
            "bootstrap.servers",
            "transactional.id",
        ] {
            if self.kafka.contains_key(key) {
                return refuse(
                    &format!("kafka.{key}"),
                    "this provider sets it itself, its guarantees rest on it; remove it",
                );
            }
        }
        Ok(())
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            uri: None,
            bootstrap_servers: Vec::new(),
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            tls_key_password: None,
            danger_accept_any_certificate: false,
            sasl_mechanism: None,
            username: None,
            password: None,
            acks: Acks::default(),
            idempotence: true,
            linger: Duration::from_millis(1),
            batch_bytes: 1_000_000,
            compression: Compression::default(),
            send_buffer_bytes: 32 * 1024 * 1024,
            delivery_timeout: None,
            response_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval: Duration::from_secs(300),
            offset_reset: OffsetReset::default(),
            assignment: Assignment::default(),
            isolation: Isolation::default(),
            read_buffer_bytes: 16 * 1024 * 1024,
            fetch_buffer_bytes: 16 * 1024 * 1024,
            commit_interval: Duration::from_millis(100),
            commit_grace: Duration::from_secs(1),
            revocation_wait: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(30),
            retry_topic: false,
            statistics_interval: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            auto_create: true,
            partitions: None,
            replication: None,
            retention: None,
            kafka: BTreeMap::new(),
        }
    }
}

impl ProviderConfig for KafkaConfig {
    type Broker = Kafka;
    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, context: OpenContext) -> Result<Kafka> {
        self.check()?;
        let native = Native::new(&self, &context)?;
        Ok(Kafka::open(self, native, context))
    }
}

/// The provider with the schema of its settings.
#[cfg(feature = "schema")]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider.schema(|| schemars::schema_for!(KafkaConfig).to_value())
}

/// The provider; this build is without schemas.
#[cfg(not(feature = "schema"))]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider
}
