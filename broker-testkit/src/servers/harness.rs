//! A harness for adapters that talk to a private server.

use std::sync::Arc;

use broker_core::config::Settings;
use broker_core::registry::Provider;
use broker_core::{Capabilities, Error, ErrorKind, Result};

use super::{Certificates, KafkaServer, RabbitMqServer, RedisServer, RedisServers};
use crate::{Harness, Limits, NetProxy, RawAccess, ServerControl, Timing};

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
pub struct ServerHarness<S> {
    provider: &'static Provider,
    server: S,
    settings: Vec<(&'static str, toml::Value)>,
    mode: String,
    setup: String,
    timing: Timing,
    limits: Limits,
    allow_unproved: Capabilities,
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
            mode: String::new(),
            setup: String::new(),
            timing: Timing::default(),
            limits: Limits::default(),
            allow_unproved: Capabilities::empty(),
            raw: None,
        }
    }

    /// Sets one of the provider's settings for every broker.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    /// Sets the adapter's mode, for the report.
    #[must_use]
    pub fn mode(mut self, mode: &str) -> Self {
        mode.clone_into(&mut self.mode);
        self
    }

    /// Sets what the report calls this setup, such as `cluster`.
    #[must_use]
    pub fn setup(mut self, setup: &str) -> Self {
        setup.clone_into(&mut self.setup);
        self
    }

    /// Sets how long things take.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sets what the server bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Allows flags that no check can prove.
    #[must_use]
    pub fn allow_unproved(mut self, flags: Capabilities) -> Self {
        self.allow_unproved = flags;
        self
    }

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

    fn mode(&self) -> String {
        self.mode.clone()
    }

    fn setup(&self) -> String {
        self.setup.clone()
    }

    fn server_version(&self) -> Option<String> {
        self.server.version()
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn durable(&self) -> bool {
        self.server.durable()
    }

    fn allow_unproved(&self) -> Capabilities {
        self.allow_unproved
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
