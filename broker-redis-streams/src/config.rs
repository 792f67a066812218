//! The provider's own settings.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::{BrokerUrl, duration};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Error, Result, Secret};
use serde::Deserialize;

use crate::broker::RedisStreams;

/// The port of a server that names none.
const PORT: u16 = 6379;

/// Where the server is and how to talk to it.
///
/// Either a `uri`, or its parts; a part that is set beside the URI wins over the URI's own.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RedisStreamsConfig {
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
    /// How many connections blocking readers may have; more readers than that take turns.
    pub pool_size: usize,
    /// How many partitions a stream is made with. A stream that is there keeps its own number.
    pub partitions: u32,
    /// How long one blocking read stays at the server; bounds how long leaving takes where it can't be woken.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub block_slice: Duration,
    /// Within which time a second publish of the same message id stores nothing; unset, ids are not looked at.
    #[serde(with = "duration::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub dedup_window: Option<Duration>,
    /// How many messages a stream keeps; unset, no number bounds it. What a group still needs stays.
    pub retention_length: Option<u64>,
    /// For how long a stream keeps messages; unset, no age bounds it. What a group still needs stays.
    #[serde(with = "duration::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub retention_age: Option<Duration>,
    /// Whether what is over those bounds goes at once; the default lets some of it stay, which is cheaper.
    pub retention_exact: bool,
    /// Whether it goes even if a group still needs it; what is lost that way is counted and told.
    pub retention_force: bool,
    /// After how long without a sign of life a member is removed from its group; what it had in hand goes to others.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub reap_after: Duration,
    /// What is written: `native` keeps everything, `protean` is one JSON field as the Python framework reads it.
    pub format: WireFormat,
}

/// How messages are written. Both are read, whatever is set here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// The payload in `data`, the rest in fields beside it.
    #[default]
    Native,
    /// Only `data`; a message with a key or headers is refused rather than cut down.
    Protean,
}

impl RedisStreamsConfig {
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
        if scheme == "redis+unix" || self.socket.is_some() {
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
            tls: self.tls || matches!(scheme, "rediss" | "valkeys"),
        })
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> Result<u16> {
        if let Some(db) = self.db {
            return Ok(db);
        }
        let uri = self.uri.as_ref().filter(|uri| uri.scheme() != "redis+unix");
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
        if !(1..=1024).contains(&self.partitions) {
            return Err(Error::config("partitions", "a number from 1 to 1024 is expected"));
        }
        if self.response_timeout.is_zero() || self.block_slice.is_zero() {
            return Err(Error::config(
                "response_timeout and block_slice",
                "durations above zero are expected",
            ));
        }
        if self.reap_after.is_zero() || self.retention_age.is_some_and(|age| age.is_zero()) {
            return Err(Error::config(
                "reap_after and retention_age",
                "durations above zero are expected",
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

impl Default for RedisStreamsConfig {
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
            partitions: 1,
            block_slice: Duration::from_secs(5),
            dedup_window: None,
            retention_length: None,
            retention_age: None,
            retention_exact: false,
            retention_force: false,
            reap_after: Duration::from_secs(86_400),
            format: WireFormat::default(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> RedisStreamsConfig {
        RedisStreamsConfig::new(uri).unwrap()
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
        let alone = RedisStreamsConfig {
            tls_cert: Some("c.pem".into()),
            ..of("rediss://h")
        };
        assert!(alone.check().unwrap_err().to_string().contains("set both"));
    }
}
