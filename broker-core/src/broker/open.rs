//! From settings to an opened broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::broker::Broker;
use super::members::Members;
use super::shared::{Opened, Shared};
use crate::base::{DynBroker, EventSender, OpenContext};
use crate::config::{BrokerConfig, Settings};
use crate::registry::{Provider, ProviderConfig, Registry};
use crate::values::{ConsumerName, Error, ErrorKind, Result};

/// Opening.
impl Broker {
    /// Opens the broker that `url` describes and connects: the scheme picks the provider, the query sets options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a bad URL, an unknown provider or option, and what the connection answers.
    pub async fn connect(url: &str) -> Result<Self> {
        let broker = Self::from_settings("default", Settings::from_url(url)?, &Registry::linked()?)?;
        if let Err(error) = broker.ensure_connection().await {
            if let Err(other) = broker.close().await {
                tracing::debug!(error = %other, "closing what did not connect");
            }
            return Err(error);
        }
        Ok(broker)
    }

    /// Opens a broker from code with the common settings at their defaults, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where the settings contradict each other.
    pub fn open<C: ProviderConfig>(config: C) -> Result<Self> {
        Self::open_with("default", BrokerConfig::default(), config)
    }

    /// Opens a broker from code, under `name` and with common settings, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where the settings contradict each other, or a required capability is missing.
    pub fn open_with<C: ProviderConfig>(name: &str, common: BrokerConfig, config: C) -> Result<Self> {
        common.validate(|key| format!("brokers.{name}.{key}"))?;
        let require_place = format!("brokers.{name}.require");
        Self::assemble(name, common, require_place, C::PROVIDER, |context| {
            let broker = config
                .open(context)
                .map_err(|error| error.placed(|key| format!("brokers.{name}.{key}")))?;
            Ok(Box::new(broker))
        })
    }

    /// Opens the broker that `settings` describe, under `name` and with a provider of `registry`, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with the place, what is wrong there, and how to mend it.
    pub fn from_settings(name: &str, mut settings: Settings, registry: &Registry) -> Result<Self> {
        let common = settings.take_common()?;
        let place = settings.place_of("provider");
        if common.provider.is_empty() {
            return Err(Error::config(
                place,
                "missing; set it to the name of a provider, such as \"inline\"",
            ));
        }
        let provider = registry.get(&common.provider, &place)?;
        let require_place = settings.place_of("require");
        Self::assemble(name, common, require_place, provider, |context| {
            provider.open(&settings, context)
        })
    }

    fn assemble(
        name: &str,
        common: BrokerConfig,
        require_place: String,
        provider: &'static Provider,
        open: impl FnOnce(OpenContext) -> Result<Box<dyn DynBroker>>,
    ) -> Result<Self> {
        let consumer = match &common.consumer {
            Some(consumer) => consumer.clone(),
            None => default_consumer()?,
        };
        let context = OpenContext {
            name: name.into(),
            config: Arc::new(common),
            consumer,
            events: EventSender::new(),
        };
        let base: Arc<dyn DynBroker> = Arc::from(open(context.clone())?);
        base.families()
            .check(base.capabilities())
            .map_err(|error| error.operation("open").provider(provider.name()))?;
        let members = Arc::new(Members::new());
        let opened = Opened {
            name: context.name,
            provider: provider.name(),
            base,
            config: context.config,
            require_place,
            consumer: context.consumer,
            events: context.events,
        };
        let shared = Shared::new(opened, Arc::downgrade(&members));
        shared.check_requirements()?;
        Ok(Self {
            shared: Arc::new(shared),
            members,
        })
    }
}

/// The host's name and an ordinal: stable over restarts, unlike a random name, which leaves a dead member behind each
/// time. Several processes of one host that share a group are to be told apart by `consumer`.
fn default_consumer() -> Result<ConsumerName> {
    static ORDINAL: AtomicU32 = AtomicU32::new(0);
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"));
    let host: String = host
        .as_deref()
        .unwrap_or("localhost")
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    let ordinal = ORDINAL.fetch_add(1, Ordering::Relaxed);
    ConsumerName::new(format!("{host}-{ordinal}")).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            "the host's name makes no consumer name; set `consumer`",
        )
        .source(error)
    })
}
