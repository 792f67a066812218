//! The provider's own settings.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::{BrokerUrl, duration};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Capabilities, Error, Result, Secret};
use serde::Deserialize;

use crate::broker::RedisPubsub;

/// The port of a server that names none.
const PORT: u16 = 6379;

/// Where the server is and how to talk to it.
///
/// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RedisPubsubConfig {
    /// `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `redis+unix:///path/to/socket`.
    pub uri: Option<BrokerUrl>,
    /// The server's host; the default is `localhost`.
    pub host: Option<String>,
    /// The server's port; the default is 6379.
    pub port: Option<u16>,
    /// A Unix socket, in place of host and port.
    pub socket: Option<PathBuf>,
    /// The number of the database; the default is 0.
    pub db: Option<u16>,
    /// The ACL user.
    pub username: Option<String>,
    /// The user's password.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub password: Option<Secret>,
    /// Whether to speak TLS; `rediss://` says so too.
    pub tls: bool,
    /// A PEM file with the certificates to trust, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// A PEM file with the client's certificate.
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the client's key.
    pub tls_key: Option<PathBuf>,
    /// How long the server may take to answer before the connection counts as dead.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub response_timeout: Duration,
    /// After how long a silent connection is probed by TCP.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub keep_alive: Duration,
    /// How many connections may wait at the server for pushes of other programs, in mode `queue`.
    pub pool_size: usize,
    /// How long one such wait stays at the server.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub block_slice: Duration,
    /// How often a waiting reader looks for messages of programs that wake nobody.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub poll_interval: Duration,
    /// What a stream is made of, and with that which guarantees it gives.
    pub mode: Mode,
    /// How messages are written.
    pub format: WireFormat,
    /// How many messages that every group has done with are kept for groups to come, in the modes `list` and `queue`.
    pub history: u64,
    /// How many messages a listener of mode `channel` may be behind; what comes on top is dropped and counted.
    pub buffer: usize,
    /// How many bytes a listener of mode `channel` may be behind.
    pub buffer_bytes: usize,
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The settings for a server at `uri`, with everything else at its default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where `uri` is not a URL.
    pub fn new(uri: &str) -> Result<Self> {
        let uri = BrokerUrl::parse(uri).map_err(|error| Error::config("uri", error))?;
        Ok(Self {
            uri: Some(uri),
            ..Self::default()
        })
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> Result<Address> {
        let uri = self.uri.as_ref();
        let scheme = uri.map_or("redis", BrokerUrl::scheme);
        let path = uri.map_or("", BrokerUrl::path);
        if is_unix(scheme) || self.socket.is_some() {
            let socket = self.socket.clone().unwrap_or_else(|| PathBuf::from(path));
            if socket.as_os_str().is_empty() {
                return Err(Error::config(
                    "uri",
                    "no socket; write `redis+unix:///path/to/socket`",
                ));
            }
            return Ok(Address::Unix(socket));
        }
        let hosts = uri.map_or(&[][..], BrokerUrl::hosts);
        if hosts.len() > 1 {
            return Err(Error::config(
                "uri",
                "several hosts mean a cluster, which is not supported; name one server",
            ));
        }
        let (host, port) = hosts.first().cloned().unwrap_or_default();
        let host = self.host.clone().unwrap_or(host);
        Ok(Address::Tcp {
            host: if host.is_empty() {
                "localhost".to_owned()
            } else {
                host
            },
            port: self.port.or(port).unwrap_or(PORT),
            tls: self.tls || matches!(scheme, "rediss" | "rediss+pubsub"),
        })
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> Result<u16> {
        if let Some(db) = self.db {
            return Ok(db);
        }
        let uri = self.uri.as_ref().filter(|uri| !is_unix(uri.scheme()));
        let path = uri.map_or("", |uri| uri.path().trim_matches('/'));
        if path.is_empty() {
            return Ok(0);
        }
        path.parse().map_err(|_| {
            Error::config(
                "uri",
                format!("`/{path}` is not a database's number, such as `/0`"),
            )
        })
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
        let address = self.address()?;
        self.database()?;
        if self.pool_size == 0 {
            return Err(Error::config("pool_size", "a number from 1 is expected"));
        }
        for (place, duration) in [
            ("response_timeout", self.response_timeout),
            ("keep_alive", self.keep_alive),
            ("block_slice", self.block_slice),
            ("poll_interval", self.poll_interval),
        ] {
            if duration.is_zero() {
                return Err(Error::config(place, "a duration above zero is expected"));
            }
        }
        if self.buffer == 0 || self.buffer_bytes == 0 {
            return Err(Error::config(
                "buffer and buffer_bytes",
                "numbers from 1 are expected",
            ));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Error::config(
                "tls_cert and tls_key",
                "one needs the other; set both",
            ));
        }
        let tls = matches!(address, Address::Tcp { tls: true, .. });
        if !tls && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            return Err(Error::config(
                "tls",
                "certificates are set and TLS is not; use `rediss://`",
            ));
        }
        if tls && cfg!(not(feature = "tls")) {
            return Err(Error::config("tls", "this build is without the feature `tls`"));
        }
        Ok(())
    }
}

impl Default for RedisPubsubConfig {
    fn default() -> Self {
        Self {
            uri: None,
            host: None,
            port: None,
            socket: None,
            db: None,
            username: None,
            password: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            response_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            pool_size: 16,
            block_slice: Duration::from_secs(5),
            poll_interval: Duration::from_secs(1),
            mode: Mode::default(),
            format: WireFormat::default(),
            history: 10_000,
            buffer: 10_000,
            buffer_bytes: 64 * 1024 * 1024,
        }
    }
}

fn is_unix(scheme: &str) -> bool {
    scheme.starts_with("redis+unix")
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
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

    fn of(uri: &str) -> RedisPubsubConfig {
        RedisPubsubConfig::new(uri).unwrap()
    }

    #[test]
    fn each_part_of_a_uri_is_used() {
        let config = of("rediss://bob:secret@example.com:7000/3");
        assert_eq!(config.address().unwrap().to_string(), "example.com:7000");
        assert!(matches!(
            config.address().unwrap(),
            Address::Tcp { tls: true, .. }
        ));
        assert_eq!(config.database().unwrap(), 3);
        assert_eq!(config.credentials().0, Some("bob"));
        assert!(!format!("{config:?}").contains("secret"));
        let unix = of("redis+unix:///run/redis.sock");
        assert_eq!(unix.address().unwrap(), Address::Unix("/run/redis.sock".into()));
        assert_eq!(unix.database().unwrap(), 0);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(
            of("redis://h/orders")
                .check()
                .unwrap_err()
                .to_string()
                .contains("`/0`")
        );
        assert!(
            of("redis://a,b")
                .check()
                .unwrap_err()
                .to_string()
                .contains("cluster")
        );
        let alone = RedisPubsubConfig {
            tls_cert: Some("c.pem".into()),
            ..of("rediss://h")
        };
        assert!(alone.check().unwrap_err().to_string().contains("set both"));
    }
}
