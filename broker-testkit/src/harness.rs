//! What the suite needs to know of an adapter, and how it opens brokers.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{DynBroker, EventSender, OpenContext};
use broker_core::config::Settings;
use broker_core::registry::{Provider, Registry};
use broker_core::{Broker, Capabilities, ConsumerName, Result};

use crate::{ConsumerProcess, NetProxy, Options, RawAccess, ServerControl, VirtualClock};

/// An adapter under test: opens brokers on one and the same server, and tells what else it has.
///
/// ```
/// use broker_core::registry::Provider;
/// use broker_core::{Result, config::Settings};
/// use broker_testkit::{Harness, Limits, Options};
///
/// struct FourPartitions;
///
/// impl Harness for FourPartitions {
///     fn provider(&self) -> &'static Provider {
///         &broker_inline::PROVIDER
///     }
///     fn settings(&self) -> Result<Settings> {
///         Settings::from_url("inline://harness?partitions=4")
///     }
///     fn limits(&self) -> Limits {
///         Limits { partitions: Some(4), ..Limits::default() }
///     }
/// }
///
/// let broker = FourPartitions.open(&Options::new().max_retries(0))?;
/// assert_eq!(broker.config().max_attempts(), 1);
/// # Ok::<(), broker_core::Error>(())
/// ```
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

    /// The server's product and version, such as `kafka 4.3.1`, where the adapter can't ask for it.
    fn server_version(&self) -> Option<String> {
        None
    }

    /// How adapter and server are set up, for the report, where that is not their default: such as `cluster`.
    fn setup(&self) -> String {
        String::new()
    }

    /// How each name begins that the suite gives to a stream, a group or a consumer. It touches no other.
    fn prefix(&self) -> String {
        "tk".to_owned()
    }

    /// Opens a fresh instance, without I/O.
    ///
    /// # Errors
    ///
    /// What opening answers.
    fn open(&self, options: &Options) -> Result<Broker> {
        let mut settings = self.settings()?;
        options.apply(&mut settings);
        Broker::from_settings("default", settings, &self.registry()?)
    }

    /// Opens what lies below a fresh instance, for laws that the broker above it would keep in the adapter's stead.
    ///
    /// # Errors
    ///
    /// What opening answers.
    fn open_base(&self, options: &Options) -> Result<Box<dyn DynBroker>> {
        let mut settings = self.settings()?;
        options.apply(&mut settings);
        let config = Arc::new(settings.take_common()?);
        let context = OpenContext {
            name: "default".into(),
            consumer: match &config.consumer {
                Some(consumer) => consumer.clone(),
                None => ConsumerName::new("conformance")?,
            },
            config,
            events: EventSender::new(),
        };
        self.provider().open(&settings, context)
    }

    /// A registry of this adapter alone.
    ///
    /// # Errors
    ///
    /// Where its names clash with each other.
    fn registry(&self) -> Result<Registry> {
        let mut registry = Registry::new();
        registry.add(self.provider())?;
        Ok(registry)
    }

    /// Settings with the user `mallory` and the password `hunter2secret` that lead to where nothing listens.
    fn unreachable(&self) -> Option<Settings> {
        None
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
    /// How long an ack that was answered may be on its way to the server: a fault in that time may bring its message
    /// again. Zero where the answer is the server's own.
    pub ack_lag: Duration,
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
            ack_lag: Duration::ZERO,
            scale: 1.0,
        }
    }
}

/// What a server bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload that it takes, where it is below what the settings allow.
    pub max_payload: Option<usize>,
    /// The partitions of a stream that is made by publishing to it. An adapter without partitions says one where all of
    /// a group's messages go to one process at a time.
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
