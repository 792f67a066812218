//! The settings of a connection, as both providers have them.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::config::BrokerUrl;
use broker_core::{Error, Result, Secret};

use crate::Sentinel;

/// Where the server is and how to talk to it.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// The URI; a part that is set beside it wins over its own.
    pub uri: Option<BrokerUrl>,
    /// The server's host.
    pub host: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// Several servers: the nodes of a cluster to begin with, or Sentinels.
    pub hosts: Vec<String>,
    /// Whether the servers are a cluster.
    pub cluster: bool,
    /// Who tells where the primary is.
    pub sentinel: Option<Sentinel>,
    /// A Unix socket, in place of host and port.
    pub socket: Option<PathBuf>,
    /// The number of the database.
    pub db: Option<u16>,
    /// The ACL user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The certificates to trust.
    pub tls_ca: Option<PathBuf>,
    /// The client's certificate.
    pub tls_cert: Option<PathBuf>,
    /// The client's key.
    pub tls_key: Option<PathBuf>,
    /// How long the server may take to answer.
    pub response_timeout: Duration,
    /// After how long a silent connection is probed.
    pub keep_alive: Duration,
    /// How many connections blocking readers may have.
    pub pool_size: usize,
}

/// Defines a provider's settings: those of a connection, and its own after them.
///
/// A struct inside the struct would hide its keys from the check for unknown ones, so the fields are written out.
#[macro_export]
macro_rules! connection_settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$about:meta])* pub $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, ::serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(::schemars::JsonSchema))]
        #[serde(default)]
        pub struct $name {
            /// `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `redis+unix:///path/to/socket`.
            pub uri: Option<::broker_core::config::BrokerUrl>,
            /// The server's host; the default is `localhost`.
            pub host: Option<String>,
            /// The server's port; the default is 6379.
            pub port: Option<u16>,
            /// Several servers, as `host` or `host:port`: nodes of a cluster to begin with, or Sentinels.
            pub hosts: Vec<String>,
            /// Whether the servers are a cluster; several hosts say so too.
            pub cluster: bool,
            /// The primary's name at the Sentinels, which the hosts then are; or a table with `master`, `hosts`,
            /// `username` and `password` of the Sentinels.
            pub sentinel: Option<$crate::Sentinel>,
            /// A Unix socket, in place of host and port.
            pub socket: Option<::std::path::PathBuf>,
            /// The number of the database; the default is 0.
            pub db: Option<u16>,
            /// The ACL user.
            pub username: Option<String>,
            /// The user's password.
            #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
            pub password: Option<::broker_core::Secret>,
            /// Whether to speak TLS; `rediss://` says so too.
            pub tls: bool,
            /// A PEM file with the certificates to trust, in place of the system's.
            pub tls_ca: Option<::std::path::PathBuf>,
            /// A PEM file with the client's certificate.
            pub tls_cert: Option<::std::path::PathBuf>,
            /// A PEM file with the client's key.
            pub tls_key: Option<::std::path::PathBuf>,
            /// How long the server may take to answer before the connection counts as dead.
            #[serde(with = "broker_core::config::duration")]
            #[cfg_attr(feature = "schema", schemars(schema_with = "broker_core::config::duration::schema"))]
            pub response_timeout: ::std::time::Duration,
            /// After how long a silent connection is probed by TCP, in whole seconds from 1.
            #[serde(with = "broker_core::config::duration")]
            #[cfg_attr(feature = "schema", schemars(schema_with = "broker_core::config::duration::schema"))]
            pub keep_alive: ::std::time::Duration,
            /// How many connections blocking readers may have; more readers than that take turns.
            pub pool_size: usize,
            $($(#[$about])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                let connection = $crate::ConnectionSettings::default();
                Self {
                    uri: connection.uri,
                    host: connection.host,
                    port: connection.port,
                    hosts: connection.hosts,
                    cluster: connection.cluster,
                    sentinel: connection.sentinel,
                    socket: connection.socket,
                    db: connection.db,
                    username: connection.username,
                    password: connection.password,
                    tls: connection.tls,
                    tls_ca: connection.tls_ca,
                    tls_cert: connection.tls_cert,
                    tls_key: connection.tls_key,
                    response_timeout: connection.response_timeout,
                    keep_alive: connection.keep_alive,
                    pool_size: connection.pool_size,
                    $($field: $default,)*
                }
            }
        }

        impl $name {
            /// The settings for a server at `uri`, with everything else at its default.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where `uri` is not a URL.
            pub fn new(uri: &str) -> ::broker_core::Result<Self> {
                let uri = ::broker_core::config::BrokerUrl::parse(uri)
                    .map_err(|error| ::broker_core::Error::config("uri", error))?;
                Ok(Self {
                    uri: Some(uri),
                    ..Self::default()
                })
            }

            /// Those that are about the connection.
            pub(crate) fn connection(&self) -> $crate::ConnectionSettings {
                $crate::ConnectionSettings {
                    uri: self.uri.clone(),
                    host: self.host.clone(),
                    port: self.port,
                    hosts: self.hosts.clone(),
                    cluster: self.cluster,
                    sentinel: self.sentinel.clone(),
                    socket: self.socket.clone(),
                    db: self.db,
                    username: self.username.clone(),
                    password: self.password.clone(),
                    tls: self.tls,
                    tls_ca: self.tls_ca.clone(),
                    tls_cert: self.tls_cert.clone(),
                    tls_key: self.tls_key.clone(),
                    response_timeout: self.response_timeout,
                    keep_alive: self.keep_alive,
                    pool_size: self.pool_size,
                }
            }
        }
    };
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            uri: None,
            host: None,
            port: None,
            hosts: Vec::new(),
            cluster: false,
            sentinel: None,
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
        }
    }
}

impl ConnectionSettings {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config), with the setting and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        self.topology()?;
        self.database()?;
        if self.pool_size == 0 {
            return Err(Error::config("pool_size", "a number from 1 is expected"));
        }
        for (place, duration) in [
            ("response_timeout", self.response_timeout),
            ("keep_alive", self.keep_alive),
        ] {
            if duration.is_zero() {
                return Err(Error::config(place, "a duration above zero is expected"));
            }
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Error::config(
                "tls_cert and tls_key",
                "one needs the other; set both",
            ));
        }
        let tls = self.speaks_tls() && self.socket_path()?.is_none();
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

    /// The socket, where there is one.
    pub(crate) fn socket_path(&self) -> Result<Option<PathBuf>> {
        if !is_unix(self.scheme()) && self.socket.is_none() {
            return Ok(None);
        }
        let path = self.uri.as_ref().map_or("", BrokerUrl::path);
        let socket = self.socket.clone().unwrap_or_else(|| PathBuf::from(path));
        if socket.as_os_str().is_empty() {
            return Err(Error::config(
                "uri",
                "no socket; write `redis+unix:///path/to/socket`",
            ));
        }
        Ok(Some(socket))
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

    fn scheme(&self) -> &str {
        self.uri.as_ref().map_or("redis", BrokerUrl::scheme)
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        let scheme = self.scheme();
        self.tls || scheme.starts_with("rediss") || scheme.starts_with("valkeys")
    }
}

fn is_unix(scheme: &str) -> bool {
    scheme.starts_with("redis+unix")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::topology::Topology;

    fn of(uri: &str) -> ConnectionSettings {
        ConnectionSettings {
            uri: Some(BrokerUrl::parse(uri).unwrap()),
            ..ConnectionSettings::default()
        }
    }

    fn refusal(settings: &ConnectionSettings) -> String {
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn each_part_of_a_uri_is_used() {
        let settings = of("rediss://bob:secret@example.com:7000/3");
        let Topology::One(address) = settings.topology().unwrap() else {
            panic!("one host is one server");
        };
        assert_eq!(address.to_string(), "example.com:7000");
        assert!(matches!(address, Address::Tcp { tls: true, .. }));
        assert_eq!(settings.database().unwrap(), 3);
        assert_eq!(settings.credentials().0, Some("bob"));
        assert!(!format!("{settings:?}").contains("secret"));
        let unix = of("redis+unix:///run/redis.sock");
        let socket = Address::Unix("/run/redis.sock".into());
        assert_eq!(unix.topology().unwrap(), Topology::One(socket));
        assert_eq!(unix.database().unwrap(), 0);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(refusal(&of("redis://h/orders")).contains("`/0`"));
        let alone = ConnectionSettings {
            tls_cert: Some("c.pem".into()),
            ..of("rediss://h")
        };
        assert!(refusal(&alone).contains("set both"));
    }
}
