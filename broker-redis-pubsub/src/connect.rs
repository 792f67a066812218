//! From settings to the client library's own.

use std::path::Path;
use std::time::Duration;

use broker_core::{Error, Result};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::config::{Address, RedisPubsubConfig};
use crate::error;

/// The library's client for these settings. Files are read, and nothing is connected.
pub(crate) fn client(config: &RedisPubsubConfig) -> Result<redis::Client> {
    let (username, password) = config.credentials();
    let mut login = RedisConnectionInfo::default().set_db(i64::from(config.database()?));
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    // Operating systems count these in whole seconds, and refuse zero.
    let second = Duration::from_secs(1);
    let keep_alive = redis::io::tcp::socket2::TcpKeepalive::new()
        .with_time(config.keep_alive.max(second))
        .with_interval((config.keep_alive / 3).max(second));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keep_alive);
    let (address, tls) = match config.address()? {
        Address::Unix(path) => (ConnectionAddr::Unix(path), false),
        Address::Tcp {
            host,
            port,
            tls: false,
        } => (ConnectionAddr::Tcp(host, port), false),
        Address::Tcp {
            host,
            port,
            tls: true,
        } => {
            let address = ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            };
            (address, true)
        }
    };
    let info = address
        .into_connection_info()
        .map_err(error::from_redis)?
        .set_redis_settings(login)
        .set_tcp_settings(tcp);
    if tls {
        secure::client(config, info)
    } else {
        redis::Client::open(info).map_err(error::from_redis)
    }
}

/// TLS, where the build has it.
#[cfg(feature = "tls")]
mod secure {
    use redis::{ClientTlsConfig, TlsCertificates};

    use super::{ConnectionInfo, RedisPubsubConfig, Result, error, read};

    pub(super) fn client(config: &RedisPubsubConfig, info: ConnectionInfo) -> Result<redis::Client> {
        // Fails where the application has chosen its provider already, and that is then the right one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client_tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read("tls_cert", cert)?,
                client_key: read("tls_key", key)?,
            }),
            _ => None,
        };
        let root_cert = config
            .tls_ca
            .as_deref()
            .map(|ca| read("tls_ca", ca))
            .transpose()?;
        let certificates = TlsCertificates {
            client_tls,
            root_cert,
        };
        redis::Client::build_with_tls(info, certificates).map_err(error::from_redis)
    }
}

#[cfg(not(feature = "tls"))]
mod secure {
    use super::{ConnectionInfo, Error, RedisPubsubConfig, Result};

    pub(super) fn client(_: &RedisPubsubConfig, _: ConnectionInfo) -> Result<redis::Client> {
        Err(Error::config("tls", "this build is without the feature `tls`"))
    }
}

#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "files are of use with TLS only")
)]
fn read(place: &'static str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::config(place, format!("`{}` can't be read: {error}", path.display())))
}
