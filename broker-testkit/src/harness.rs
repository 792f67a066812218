//! What the suite needs to know of an adapter, and how it opens brokers.

use std::time::Duration;

use broker_core::config::Settings;
use broker_core::registry::{Provider, Registry};
use broker_core::{Broker, Capabilities, Error, ErrorKind, Result, async_trait};

use crate::Options;

/// An adapter under test: opens brokers on one and the same server, and tells what else it has.
pub trait Harness: Send + Sync + 'static {
    /// The adapter.
    fn provider(&self) -> &'static Provider;

    /// The settings that lead to the server: on each call the same server, with the same state.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn settings(&self) -> Result<Settings>;

    /// The adapter's mode, for the report.
    fn mode(&self) -> String {
        String::new()
    }

    /// Opens a fresh instance, without I/O.
    ///
    /// # Errors
    ///
    /// What opening answers.
    fn open(&self, options: &Options) -> Result<Broker> {
        let mut settings = self.settings()?;
        options.apply(&mut settings);
        let mut registry = Registry::new();
        registry.add(self.provider())?;
        Broker::from_settings("default", settings, &registry)
    }

    /// How long things take here.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// What the server bounds.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether messages survive a restart of the server.
    fn durable(&self) -> bool {
        false
    }

    /// Claimed flags that no check of this run can prove, by decision: they are printed in each report.
    fn allow_unproved(&self) -> Capabilities {
        Capabilities::empty()
    }

    /// Starts, stops and kills the server.
    fn server(&self) -> Option<&dyn ServerControl> {
        None
    }

    /// Disturbs the network between client and server.
    fn proxy(&self) -> Option<&dyn NetProxy> {
        None
    }

    /// Moves the clock.
    fn clock(&self) -> Option<&dyn VirtualClock> {
        None
    }

    /// Reaches the server's data past the adapter.
    fn raw(&self) -> Option<&dyn RawAccess> {
        None
    }

    /// Starts consumers in processes of their own.
    fn consumer_process(&self) -> Option<&dyn ConsumerProcess> {
        None
    }
}

/// How long things take on a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// How long the suite waits for what must happen eventually.
    pub eventual: Duration,
    /// The lease of checks that wait for one to end.
    pub lease: Duration,
    /// The back-off of checks that wait for a redelivery.
    pub retry_delay: Duration,
    /// How long the suite watches for what must not happen; four times as long on full.
    pub quiet: Duration,
    /// By what upper bounds on durations are stretched, for slow machines.
    pub scale: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            eventual: Duration::from_secs(15),
            lease: Duration::from_secs(1),
            retry_delay: Duration::from_millis(50),
            quiet: Duration::from_millis(200),
            scale: 1.0,
        }
    }
}

/// What a server bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload that it takes, where it is below what the settings allow.
    pub max_payload: Option<usize>,
    /// The partitions of a stream that is made by publishing to it.
    pub partitions: Option<u32>,
    /// The most messages that travel in one native call.
    pub max_batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: None,
            partitions: None,
            max_batch: 500,
        }
    }
}

/// Starts, stops and kills the server that the harness' brokers talk to.
#[async_trait]
pub trait ServerControl: Send + Sync {
    /// Starts it, and returns once it answers.
    async fn start(&self) -> Result<()>;
    /// Stops it in good order.
    async fn stop(&self) -> Result<()>;
    /// Kills it without a warning.
    async fn kill(&self) -> Result<()>;
    /// Sets one of its own settings, such as how it syncs to disk.
    async fn configure(&self, key: &str, value: &str) -> Result<()>;
}

/// Disturbs the network between client and server.
#[async_trait]
pub trait NetProxy: Send + Sync {
    /// Cuts every open connection.
    async fn cut(&self) -> Result<()>;
    /// Refuses new connections until [`heal`](Self::heal).
    async fn refuse(&self) -> Result<()>;
    /// Swallows all bytes until [`heal`](Self::heal).
    async fn half_open(&self) -> Result<()>;
    /// Delays each direction by this until [`heal`](Self::heal).
    async fn delay(&self, by: Duration) -> Result<()>;
    /// Cuts the connection that next sends this many bytes back to the client.
    async fn cut_after(&self, bytes: usize) -> Result<()>;
    /// Back to normal.
    async fn heal(&self) -> Result<()>;
}

/// Moves the clock that leases and back-offs go by.
#[async_trait]
pub trait VirtualClock: Send + Sync {
    /// Moves it forward.
    async fn advance(&self, by: Duration);
}

/// Reaches the server's data past the adapter.
#[async_trait]
pub trait RawAccess: Send + Sync {
    /// Writes an entry of a foreign format to a stream.
    async fn write_foreign(&self, stream: &str) -> Result<()>;
    /// Deletes a group.
    async fn delete_group(&self, stream: &str, group: &str) -> Result<()>;
    /// Removes the stream's oldest messages, whoever needs them.
    async fn trim(&self, stream: &str, keep: u64) -> Result<()>;
}

/// Starts consumers in processes of their own.
#[async_trait]
pub trait ConsumerProcess: Send + Sync {
    /// Starts a consumer that reads `take` messages of a stream and settles none; returns once it has them.
    async fn start(&self, stream: &str, group: &str, take: usize) -> Result<u32>;
    /// Kills it without a warning.
    async fn kill(&self, process: u32) -> Result<()>;
}

/// A harness for an adapter whose server is at a URL, which does for most.
#[derive(Debug)]
pub struct UrlHarness {
    provider: &'static Provider,
    url: String,
    mode: String,
    timing: Timing,
    limits: Limits,
    durable: bool,
    allow_unproved: Capabilities,
}

impl UrlHarness {
    /// The adapter `provider` on the server at `url`.
    #[must_use]
    pub fn new(provider: &'static Provider, url: impl Into<String>) -> Self {
        Self {
            provider,
            url: url.into(),
            mode: String::new(),
            timing: Timing::default(),
            limits: Limits::default(),
            durable: false,
            allow_unproved: Capabilities::empty(),
        }
    }

    /// Sets the mode's name, for the report.
    #[must_use]
    pub fn mode(mut self, mode: impl Into<String>) -> Self {
        self.mode = mode.into();
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

    /// Says that messages survive a restart of the server.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Allows flags that no check can prove.
    #[must_use]
    pub fn allow_unproved(mut self, flags: Capabilities) -> Self {
        self.allow_unproved = flags;
        self
    }
}

impl Harness for UrlHarness {
    fn provider(&self) -> &'static Provider {
        self.provider
    }

    fn settings(&self) -> Result<Settings> {
        let settings = Settings::from_url(&self.url)?;
        let scheme = settings.text("provider").unwrap_or_default();
        if self.provider.names().any(|name| name == scheme) {
            return Ok(settings);
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "the URL's scheme `{scheme}` is not one of provider `{}`",
                self.provider.name()
            ),
        ))
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
        self.durable
    }

    fn allow_unproved(&self) -> Capabilities {
        self.allow_unproved
    }
}
