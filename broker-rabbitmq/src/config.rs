//! The provider's own settings.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::{BrokerUrl, duration};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Error, Result, Secret};
use serde::Deserialize;

use crate::broker::RabbitMq;

mod check;

/// Where the server is and how to talk to it.
///
/// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own.
///
/// ```
/// use broker_core::{Broker, Capabilities};
/// use broker_rabbitmq::RabbitMqConfig;
///
/// let server = RabbitMqConfig::new("amqp://localhost")?;
/// let broker = Broker::open(RabbitMqConfig { single_active_consumer: true, ..server })?; // connects at the first call
/// assert!(broker.has_capability(Capabilities::ORDERED_MESSAGING));
/// # Ok::<(), broker_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:5672/vhost`, or `amqps://…` for TLS; several hosts are tried in turn.
    pub uri: Option<BrokerUrl>,
    /// The host.
    pub host: Option<String>,
    /// The port; the default is 5672, and 5671 with TLS.
    pub port: Option<u16>,
    /// The user; the default is `guest`.
    pub username: Option<String>,
    /// The user's password; the default is `guest`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub password: Option<Secret>,
    /// The virtual host; the default is `/`.
    #[serde(alias = "vhost")]
    pub virtual_host: Option<String>,
    /// Whether to speak TLS; `amqps://` says so too.
    pub tls: bool,
    /// The certificates to trust besides the system's: a PEM file.
    pub tls_ca: Option<String>,
    /// The client's certificate: a PEM file.
    pub tls_cert: Option<String>,
    /// The client's key: a PEM file.
    pub tls_key: Option<String>,
    /// After how much silence a connection counts as dead; whole seconds up to 65535, zero switches it off.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub heartbeat: Duration,
    /// How often connecting is tried before the call that needs it fails; at least once.
    pub connection_attempts: u32,
    /// The wait between these attempts.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::schema"))]
    pub connection_retry_delay: Duration,
    /// What messages lie in: a queue for each group, or one log for all.
    pub queue_type: QueueType,
    /// Whether the messages of one key come in order, also after a failure: one consumer at a time has a group's queue.
    pub single_active_consumer: bool,
    /// How many messages the server sends ahead to a group's single active consumer, or to the reader of a log, from 1; the
    /// same in all processes of a group.
    pub prefetch_count: u16,
    /// The stream queue in which a stream's messages lie, where `queue_type` is `stream`; `{stream}` stands for its name.
    pub log_queue: String,
    /// How long a stream queue keeps messages, at least; without it, for ever. Whole segments go.
    #[serde(with = "duration::option")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "duration::option::schema"))]
    pub max_age: Option<Duration>,
    /// How many bytes a stream queue keeps; without it, all. Whole segments go.
    pub max_length_bytes: Option<u64>,
    /// The size of a stream queue's segments; without it, the server's own choice of 500 MB.
    pub max_segment_size_bytes: Option<u64>,
    /// Whether exchanges and queues are made; off, they are used as they are.
    pub declare: bool,
    /// The exchange of a stream; `{stream}` stands for its name. Empty is the server's default exchange, which leads
    /// straight to the queue that the routing key names.
    pub exchange: String,
    /// What a stream's exchange is: how its messages find the groups' queues.
    pub exchange_type: ExchangeType,
    /// What a group takes of a direct or topic exchange; `{stream}` stands for the stream's name. Without it, all.
    pub binding_key: Option<String>,
    /// What a group takes of a headers exchange: messages with all of these headers.
    pub binding_headers: BTreeMap<String, String>,
    /// The queue of a group; `{stream}` and `{group}` stand for their names.
    pub queue: String,
    /// What messages are routed by; `{stream}` and `{key}` stand for the stream's name and the message's key.
    pub routing_key: String,
    /// Whether a message that goes to nobody is refused; off, it is lost without a word.
    pub mandatory: bool,
    /// Whether messages are written to disk.
    pub persistent: bool,
}

/// What a stream's exchange is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExchangeType {
    /// Each message goes to each group.
    #[default]
    Fanout,
    /// It goes to the groups whose binding key is its routing key.
    Direct,
    /// It goes to the groups whose binding key, with `*` for a word and `#` for any number of them, fits its routing key.
    Topic,
    /// It goes to the groups whose headers it has.
    Headers,
}

/// What messages lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum QueueType {
    /// Replicated, and its delivery count is the server's own.
    #[default]
    Quorum,
    /// On one node.
    Classic,
    /// One log for all groups of a stream, which keeps what is settled.
    Stream,
}

impl QueueType {
    /// What the server calls it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
            Self::Stream => "stream",
        }
    }

    /// What the queues beside it are, for dead letters, delays and positions.
    pub(crate) const fn beside(self) -> Self {
        match self {
            Self::Classic => Self::Classic,
            Self::Quorum | Self::Stream => Self::Quorum,
        }
    }
}

impl Default for RabbitMqConfig {
    fn default() -> Self {
        Self {
            uri: None,
            host: None,
            port: None,
            username: None,
            password: None,
            virtual_host: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            heartbeat: Duration::from_secs(10),
            connection_attempts: 1,
            connection_retry_delay: Duration::from_millis(200),
            queue_type: QueueType::default(),
            single_active_consumer: false,
            prefetch_count: 4096,
            log_queue: "{stream}".to_owned(),
            max_age: None,
            max_length_bytes: None,
            max_segment_size_bytes: None,
            declare: true,
            exchange: "{stream}".to_owned(),
            exchange_type: ExchangeType::default(),
            binding_key: None,
            binding_headers: BTreeMap::new(),
            queue: "{stream}/{group}".to_owned(),
            routing_key: "{stream}".to_owned(),
            mandatory: true,
            persistent: true,
        }
    }
}

impl RabbitMqConfig {
    /// The settings for this server, with everything else at its default.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong with the URI.
    pub fn new(uri: &str) -> Result<Self> {
        let uri = BrokerUrl::parse(uri).map_err(|line| Error::config("uri", line))?;
        Ok(Self {
            uri: Some(uri),
            ..Self::default()
        })
    }

    /// Whether to speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls || self.uri.as_ref().map(BrokerUrl::scheme) == Some("amqps")
    }

    /// The servers to try, in order.
    pub(crate) fn servers(&self) -> Vec<(String, u16)> {
        let port = if self.is_tls() { 5671 } else { 5672 };
        let hosts = self.uri.as_ref().map_or(&[][..], BrokerUrl::hosts);
        if self.host.is_some() || hosts.is_empty() {
            let first = hosts.first().and_then(|(_, port)| *port);
            let host = self.host.clone().unwrap_or_else(|| "localhost".to_owned());
            return vec![(host, self.port.or(first).unwrap_or(port))];
        }
        let with_port =
            |(host, own): &(String, Option<u16>)| (host.clone(), self.port.or(*own).unwrap_or(port));
        hosts.iter().map(with_port).collect()
    }

    /// User and password.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        let uri = self.uri.as_ref();
        let user = self
            .username
            .as_deref()
            .or_else(|| uri.and_then(BrokerUrl::username));
        let password = self
            .password
            .as_ref()
            .or_else(|| uri.and_then(BrokerUrl::password));
        (user.unwrap_or("guest"), password.map_or("guest", Secret::expose))
    }

    /// The virtual host.
    pub(crate) fn vhost(&self) -> &str {
        let of_uri = self.uri.as_ref().map(BrokerUrl::path);
        let of_uri = of_uri
            .and_then(|path| path.strip_prefix('/'))
            .filter(|path| !path.is_empty());
        self.virtual_host.as_deref().or(of_uri).unwrap_or("/")
    }
}

/// How messages find their groups.
impl RabbitMqConfig {
    /// Whether all groups of a stream read one log.
    pub(crate) fn is_log(&self) -> bool {
        self.queue_type == QueueType::Stream
    }

    /// Whether streams share one exchange, which tells them apart by their routing keys.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.exchange_type, ExchangeType::Direct | ExchangeType::Topic)
            && !self.exchange.contains("{stream}")
            && self.routing_key.contains("{stream}")
    }

    /// Whether a message's way goes by its key.
    pub(crate) fn is_by_key(&self) -> bool {
        matches!(self.exchange_type, ExchangeType::Direct | ExchangeType::Topic)
            && self.routing_key.contains("{key}")
    }
}

impl ProviderConfig for RabbitMqConfig {
    type Broker = RabbitMq;
    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, context: OpenContext) -> Result<RabbitMq> {
        self.check()?;
        RabbitMq::open(self, context)
    }
}

/// The provider with the schema of its settings.
#[cfg(feature = "schema")]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider.schema(|| schemars::schema_for!(RabbitMqConfig).to_value())
}

/// The provider; this build is without schemas.
#[cfg(not(feature = "schema"))]
pub(crate) const fn describe(provider: Provider) -> Provider {
    provider
}
