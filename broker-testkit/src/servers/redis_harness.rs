//! A harness for adapters that talk to Redis.

use std::sync::Arc;

use broker_core::config::Settings;
use broker_core::registry::Provider;
use broker_core::{Capabilities, Error, ErrorKind, Result};

use super::{RedisServer, RedisServers};
use crate::{Harness, Limits, NetProxy, RawAccess, ServerControl, TcpProxy, Timing};

/// A harness for adapters that talk to Redis: a private server, a proxy before it, and settings.
pub struct RedisHarness {
    provider: &'static Provider,
    servers: RedisServers,
    proxy: Option<TcpProxy>,
    settings: Vec<(&'static str, toml::Value)>,
    mode: String,
    timing: Timing,
    limits: Limits,
    allow_unproved: Capabilities,
    raw: Option<Arc<dyn RawAccess>>,
}

impl RedisHarness {
    /// The adapter `provider` on a server, a cluster, or a pair with a Sentinel.
    #[must_use]
    pub fn new(provider: &'static Provider, servers: impl Into<RedisServers>) -> Self {
        Self {
            provider,
            servers: servers.into(),
            proxy: None,
            settings: Vec::new(),
            mode: String::new(),
            timing: Timing::default(),
            limits: Limits::default(),
            allow_unproved: Capabilities::empty(),
            raw: None,
        }
    }

    /// Puts a proxy between the brokers and the server, so that checks can disturb the network.
    ///
    /// # Errors
    ///
    /// What the operating system answers, and [`ErrorKind::Unsupported`] before several servers.
    pub fn proxied(mut self) -> Result<Self> {
        let RedisServers::One(server) = &self.servers else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a proxy stands before one server; nodes of a cluster name each other's own ports",
            ));
        };
        self.proxy = Some(TcpProxy::start(([127, 0, 0, 1], server.port()).into())?);
        Ok(self)
    }

    /// Sets one of the provider's settings for every broker.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    /// Sets the mode, which is also the setting `mode`.
    #[must_use]
    pub fn mode(mut self, mode: &str) -> Self {
        mode.clone_into(&mut self.mode);
        self.set("mode", mode)
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

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &RedisServers {
        &self.servers
    }
}

impl Harness for RedisHarness {
    fn provider(&self) -> &'static Provider {
        self.provider
    }

    fn settings(&self) -> Result<Settings> {
        let url = match (&self.servers, &self.proxy) {
            (RedisServers::One(server), Some(proxy)) => server.url_at(proxy.port()),
            (servers, _) => servers.url(),
        };
        let mut settings = Settings::from_url(&url)?;
        settings.set("provider", self.provider.name(), None);
        if let Some(tls) = self.servers.certificates() {
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
        for (key, value) in &self.settings {
            settings.set(key, value.clone(), None);
        }
        Ok(settings)
    }

    fn unreachable(&self) -> Option<Settings> {
        // Port 1 belongs to a service that nobody runs.
        let mut settings = Settings::from_url("redis://mallory:hunter2secret@127.0.0.1:1/0").ok()?;
        settings.set("provider", self.provider.name(), None);
        for (key, value) in &self.settings {
            settings.set(key, value.clone(), None);
        }
        Some(settings)
    }

    fn mode(&self) -> String {
        self.mode.clone()
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn durable(&self) -> bool {
        self.servers.servers().iter().all(RedisServer::is_durable)
    }

    fn allow_unproved(&self) -> Capabilities {
        self.allow_unproved
    }

    fn server(&self) -> Option<&dyn ServerControl> {
        Some(&self.servers)
    }

    fn proxy(&self) -> Option<&dyn NetProxy> {
        self.proxy.as_ref().map(|proxy| proxy as &dyn NetProxy)
    }

    fn raw(&self) -> Option<&dyn RawAccess> {
        self.raw.as_deref()
    }
}
