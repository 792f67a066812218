//! A harness for adapters that talk to a private server.

use std::sync::Arc;

use broker_core::config::Settings;
use broker_core::registry::Provider;
use broker_core::{Error, ErrorKind, Result};

use super::{Certificates, KafkaServer, RabbitMqServer, RedisServer, RedisServers};
use crate::described::{self, Described};
use crate::{Harness, NetProxy, RawAccess, ServerControl};

/// What a harness asks of a private server beside [controlling](ServerControl) it.
pub trait PrivateServer: ServerControl + 'static {
    /// The address that brokers are configured with: the proxy's where there is one.
    fn url(&self) -> String;

    /// An address of the same kind at which nobody listens, for the user `mallory` with the password `hunter2secret`.
    fn nowhere(&self) -> &'static str;

    /// The certificates, where it talks TLS.
    fn certificates(&self) -> Option<&Certificates>;

    /// Whether what it answered for outlives a restart.
    fn durable(&self) -> bool;

    /// The proxy before it, where there is one.
    fn proxy(&self) -> Option<&dyn NetProxy>;

    /// Its product and version, where it is not one that adapters can ask.
    fn version(&self) -> Option<String> {
        None
    }
}

/// A harness for adapters that talk to a private server: the server, and settings for every broker.
///
/// ```no_run
/// use broker_core::registry::Provider;
/// use broker_testkit::servers::{RedisConfig, RedisServers, ServerHarness};
/// use broker_testkit::{Suite, Timing};
///
/// fn certify(my_adapter: &'static Provider) -> broker_core::Result<std::process::ExitCode> {
///     let server = RedisConfig::new().durable().proxied().start()?;
///     let harness = ServerHarness::new(my_adapter, RedisServers::from(server))
///         .set("partitions", 4)
///         .setup("4 partitions")
///         .timing(Timing { scale: 3.0, ..Timing::default() }); // for a slow machine
///     Ok(Suite::new(harness).main())
/// }
/// ```
pub struct ServerHarness<S> {
    provider: &'static Provider,
    server: S,
    settings: Vec<(&'static str, toml::Value)>,
    described: Described,
    raw: Option<Arc<dyn RawAccess>>,
}

impl<S: PrivateServer> ServerHarness<S> {
    /// The adapter `provider` on `server`.
    #[must_use]
    pub fn new(provider: &'static Provider, server: S) -> Self {
        Self {
            provider,
            server,
            settings: Vec::new(),
            described: Described::default(),
            raw: None,
        }
    }

    /// Sets one of the provider's settings for every broker.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    described::setters!();

    /// Sets how the server's data is reached past the adapter.
    #[must_use]
    pub fn raw(mut self, raw: impl RawAccess + 'static) -> Self {
        self.raw = Some(Arc::new(raw));
        self
    }

    fn settings_at(&self, url: &str) -> Result<Settings> {
        let mut settings = Settings::from_url(url)?;
        settings.set("provider", self.provider.name(), None);
        for (key, value) in &self.settings {
            settings.set(key, value.clone(), None);
        }
        Ok(settings)
    }
}

impl<S: PrivateServer> Harness for ServerHarness<S> {
    fn provider(&self) -> &'static Provider {
        self.provider
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = self.settings_at(&self.server.url())?;
        if let Some(tls) = self.server.certificates() {
            for (key, file) in [
                ("tls_ca", &tls.ca),
                ("tls_cert", &tls.client),
                ("tls_key", &tls.client_key),
            ] {
                let path = file.to_str().ok_or_else(|| {
                    Error::new(ErrorKind::Config, "the temporary folder's name is not UTF-8")
                })?;
                settings.set(key, path, None);
            }
        }
        Ok(settings)
    }

    fn unreachable(&self) -> Option<Settings> {
        self.settings_at(self.server.nowhere()).ok()
    }

    described::answers!();

    fn server_version(&self) -> Option<String> {
        self.server.version()
    }

    fn durable(&self) -> bool {
        self.server.durable()
    }

    fn server(&self) -> Option<&dyn ServerControl> {
        Some(&self.server)
    }

    fn proxy(&self) -> Option<&dyn NetProxy> {
        self.server.proxy()
    }

    fn raw(&self) -> Option<&dyn RawAccess> {
        self.raw.as_deref()
    }
}

// Port 1 belongs to a service that nobody runs.

impl PrivateServer for RedisServers {
    fn url(&self) -> String {
        self.url()
    }

    fn nowhere(&self) -> &'static str {
        "redis://mallory:hunter2secret@127.0.0.1:1/0"
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.certificates()
    }

    fn durable(&self) -> bool {
        self.servers().iter().all(RedisServer::is_durable)
    }

    fn proxy(&self) -> Option<&dyn NetProxy> {
        match self {
            Self::One(server) => server.proxy().map(|proxy| proxy.as_ref() as &dyn NetProxy),
            _ => None,
        }
    }
}

impl PrivateServer for KafkaServer {
    fn url(&self) -> String {
        self.url()
    }

    fn nowhere(&self) -> &'static str {
        "kafka://mallory:hunter2secret@127.0.0.1:1"
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.certificates()
    }

    fn durable(&self) -> bool {
        // What a broker answered for, it finds again after a kill.
        true
    }

    fn proxy(&self) -> Option<&dyn NetProxy> {
        self.proxy().map(|proxy| proxy.as_ref() as &dyn NetProxy)
    }

    fn version(&self) -> Option<String> {
        Some(self.version().to_string())
    }
}

impl PrivateServer for RabbitMqServer {
    fn url(&self) -> String {
        self.url()
    }

    fn nowhere(&self) -> &'static str {
        "amqp://mallory:hunter2secret@127.0.0.1:1"
    }

    fn certificates(&self) -> Option<&Certificates> {
        self.certificates()
    }

    fn durable(&self) -> bool {
        // What it confirmed, it finds again after a kill.
        true
    }

    fn proxy(&self) -> Option<&dyn NetProxy> {
        self.proxy().map(|proxy| proxy.as_ref() as &dyn NetProxy)
    }

    fn version(&self) -> Option<String> {
        Some(self.version().to_string())
    }
}
