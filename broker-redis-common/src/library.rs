//! From settings to the client library's own.

use std::time::Duration;

use broker_core::Result;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::address::Address;
use crate::{ConnectionSettings, error, tls};

/// The library's client for the server at `address`. Files are read, and nothing is connected.
pub(crate) fn client(
    settings: &ConnectionSettings,
    address: &Address,
    login: RedisConnectionInfo,
) -> Result<redis::Client> {
    let (place, secured) = match address {
        Address::Unix(path) => (ConnectionAddr::Unix(path.clone()), false),
        Address::Tcp {
            host,
            port,
            tls: false,
        } => (ConnectionAddr::Tcp(host.clone(), *port), false),
        Address::Tcp {
            host,
            port,
            tls: true,
        } => {
            let place = ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            };
            (place, true)
        }
    };
    let info = place
        .into_connection_info()
        .map_err(error::connect)?
        .set_redis_settings(login)
        .set_tcp_settings(tcp(settings.keep_alive));
    if secured {
        return tls::client(info, settings);
    }
    redis::Client::open(info).map_err(error::connect)
}

/// Who logs in to a server with data, and for which database.
pub(crate) fn login(
    settings: &ConnectionSettings,
    name: &str,
    protocol: ProtocolVersion,
) -> Result<RedisConnectionInfo> {
    let (username, password) = settings.credentials();
    let mut login = RedisConnectionInfo::default()
        .set_db(i64::from(settings.database()?))
        .set_protocol(protocol)
        .set_lib_name(name, env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    Ok(login)
}

fn tcp(keep_alive: Duration) -> TcpSettings {
    // Operating systems count these in whole seconds, and refuse zero.
    let second = Duration::from_secs(1);
    let probes = TcpKeepalive::new()
        .with_time(keep_alive.max(second))
        .with_interval((keep_alive / 3).max(second));
    TcpSettings::default().set_nodelay(true).set_keepalive(probes)
}
