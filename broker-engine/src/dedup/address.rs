//! Where the Redis servers are that handled ids are in.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::config::{BrokerConfig, BrokerUrl, Settings};
use broker_core::{Error, Result, Secret};
use broker_redis_common::{ConnectionSettings, Sentinel};
use serde::Deserialize;

/// What addresses of Redis begin with.
const SCHEMES: [&str; 5] = ["redis", "rediss", "redis+unix", "valkey", "valkeys"];

/// An address and the options in its query, by the names that the provider `redis` has for them.
#[derive(Deserialize)]
#[serde(default)]
struct Address {
    uri: Option<BrokerUrl>,
    hosts: Vec<String>,
    cluster: bool,
    sentinel: Option<Sentinel>,
    db: Option<u16>,
    username: Option<String>,
    password: Option<Secret>,
    tls: bool,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(with = "broker_core::config::duration")]
    response_timeout: Duration,
}

impl Default for Address {
    fn default() -> Self {
        let settings = ConnectionSettings::default();
        Self {
            uri: None,
            hosts: settings.hosts,
            cluster: settings.cluster,
            sentinel: settings.sentinel,
            db: settings.db,
            username: settings.username,
            password: settings.password,
            tls: settings.tls,
            tls_ca: settings.tls_ca,
            tls_cert: settings.tls_cert,
            tls_key: settings.tls_key,
            response_timeout: settings.response_timeout,
        }
    }
}

/// How to connect to what `url` says, and what it says as any broker's address may.
pub(super) fn connection(url: &str) -> Result<(ConnectionSettings, BrokerConfig)> {
    let mut settings = Settings::from_url(url)?;
    let scheme = settings.text("provider").unwrap_or_default();
    if !SCHEMES.contains(&scheme) {
        return Err(Error::config(
            "url",
            format!("`{scheme}` is no address of Redis; write such as redis://localhost:6379/0"),
        ));
    }
    let config = settings.take_common()?;
    let address: Address = settings.parse()?;
    let connection = ConnectionSettings {
        uri: address.uri,
        hosts: address.hosts,
        cluster: address.cluster,
        sentinel: address.sentinel,
        db: address.db,
        username: address.username,
        password: address.password,
        tls: address.tls,
        tls_ca: address.tls_ca,
        tls_cert: address.tls_cert,
        tls_key: address.tls_key,
        response_timeout: address.response_timeout,
        ..ConnectionSettings::default()
    };
    connection.check()?;
    Ok((connection, config))
}
