//! Every configured broker.

use std::collections::BTreeMap;
use std::ops::Index;
use std::path::PathBuf;
use std::sync::Arc;

use super::broker::Broker;
use super::together::together;
use crate::base::BoxFuture;
use crate::config::{BrokerConfig, Config, nearest};
use crate::registry::{ProviderConfig, Registry};
use crate::values::{Error, ErrorKind, Health, Message, MessageId, Published, Result, StreamName};

/// The name of the broker that must be there.
const DEFAULT: &str = "default";

/// Every configured broker by name: `default`, and others. Clones share them.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let config = broker::config::Config::from_text(
///     "[brokers.default]\nprovider = 'inline'\n[brokers.audit]\nprovider = 'inline'\nmax_retries = 0\n",
/// )?;
/// let brokers = Brokers::open(&config)?; // or Brokers::load().await?, which reads broker.toml and connects
/// brokers.publish("orders", Message::text("one coffee")).await?; // to `default`
/// assert_eq!(brokers.get("audit")?.config().max_retries, 0);
/// brokers.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Brokers {
    /// By name.
    brokers: Arc<[Broker]>,
}

impl Brokers {
    /// Opens what `broker.toml`, `.broker.toml` and the environment describe, and connects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with file, place, what is wrong and how to mend it, and what a connection answers.
    pub async fn load() -> Result<Self> {
        Self::connected(Self::open(&Config::load()?)?).await
    }

    /// Opens what the file at `path` and the environment describe, and connects.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn load_file(path: impl Into<PathBuf>) -> Result<Self> {
        Self::connected(Self::open(&Config::from_file(path)?)?).await
    }

    /// Opens what `config` describes with the linked providers, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with the place, what is wrong there and how to mend it.
    pub fn open(config: &Config) -> Result<Self> {
        Self::open_from(config, &Registry::linked()?)
    }

    /// Opens what `config` describes with the providers of `registry`, without I/O.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_from(config: &Config, registry: &Registry) -> Result<Self> {
        let brokers = config
            .iter()
            .map(|(name, settings)| Broker::from_settings(name, settings.clone(), registry))
            .collect::<Result<_>>()?;
        Self::checked(brokers)
    }

    /// Begins to configure brokers from code.
    pub fn builder() -> BrokersBuilder {
        BrokersBuilder {
            brokers: Vec::new(),
            error: None,
        }
    }

    /// The broker called `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] that lists the configured names.
    pub fn get(&self, name: &str) -> Result<&Broker> {
        let found = self.iter().find(|broker| broker.name() == name);
        found.ok_or_else(|| {
            let hint = match nearest(name, self.names()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("add `[brokers.{name}]`"),
            };
            let names = self.names().collect::<Vec<_>>().join(", ");
            Error::new(
                ErrorKind::NotFound,
                format!("no broker is called `{name}` (configured: {names}); {hint}"),
            )
        })
    }

    /// The broker called `default`.
    #[must_use]
    pub fn default_broker(&self) -> &Broker {
        &self[DEFAULT]
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Broker::name)
    }

    /// The brokers, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.iter()
    }

    /// Publishes a message to the default broker.
    ///
    /// # Errors
    ///
    /// As [`Broker::publish`].
    pub async fn publish<S>(&self, stream: S, message: Message) -> Result<MessageId>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        self.default_broker().publish(stream, message).await
    }

    /// Publishes messages to the default broker.
    ///
    /// # Errors
    ///
    /// As [`Broker::publish_batch`].
    pub async fn publish_batch<S>(&self, stream: S, messages: Vec<Message>) -> Result<Published>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        self.default_broker().publish_batch(stream, messages).await
    }

    /// Connects all at once.
    ///
    /// # Errors
    ///
    /// The first by name that can't connect.
    pub async fn connect(&self) -> Result<()> {
        let connecting = self.iter().map(|broker| -> BoxFuture<'_, Result<()>> {
            Box::pin(async move { named(broker, broker.ensure_connection().await) })
        });
        together(connecting).await.into_iter().collect()
    }

    /// How all are, by name.
    pub async fn health(&self) -> BTreeMap<String, Health> {
        let asking = self
            .iter()
            .map(|broker| -> BoxFuture<'_, Health> { Box::pin(broker.health_stats()) });
        self.names()
            .map(str::to_owned)
            .zip(together(asking).await)
            .collect()
    }

    /// Closes all at once, also when one of them fails.
    ///
    /// # Errors
    ///
    /// The first by name that failed.
    pub async fn close(&self) -> Result<()> {
        let closing = self.iter().map(|broker| -> BoxFuture<'_, Result<()>> {
            Box::pin(async move { named(broker, broker.close().await) })
        });
        together(closing).await.into_iter().collect()
    }

    /// Connects all or none: where one fails, those that were quicker are closed again.
    async fn connected(brokers: Self) -> Result<Self> {
        if let Err(error) = brokers.connect().await {
            if let Err(other) = brokers.close().await {
                tracing::debug!(error = %other, "closing what was connected before");
            }
            return Err(error);
        }
        Ok(brokers)
    }

    fn checked(mut brokers: Vec<Broker>) -> Result<Self> {
        brokers.sort_by(|one, other| one.name().cmp(other.name()));
        let names: Vec<_> = brokers.iter().map(Broker::name).collect();
        if names.contains(&DEFAULT) {
            return Ok(Self {
                brokers: brokers.into(),
            });
        }
        let configured = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        Err(Error::config(
            "brokers.default",
            format!(
                "missing (configured: {configured}); add a `[brokers.default]` table with its `provider`"
            ),
        ))
    }
}

fn named<T>(broker: &Broker, answer: Result<T>) -> Result<T> {
    answer.map_err(|error| error.with("broker", broker.name()))
}

impl Index<&str> for Brokers {
    type Output = Broker;

    /// # Panics
    ///
    /// Where no broker is called `name`; [`get`](Brokers::get) is the checked form.
    #[expect(
        clippy::panic,
        reason = "indexing is the form that panics; `get` is beside it"
    )]
    fn index(&self, name: &str) -> &Broker {
        match self.get(name) {
            Ok(broker) => broker,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Configures brokers from code.
///
/// ```
/// use broker::config::BrokerConfig;
/// use broker::inline::InlineConfig;
/// use broker::prelude::*;
///
/// let patient = BrokerConfig { max_retries: 10, ..Default::default() };
/// let brokers = Brokers::builder()
///     .default(InlineConfig::new())
///     .named_with("audit", patient, InlineConfig::new().partitions(4))
///     .build()?;
/// assert_eq!(brokers.names().collect::<Vec<_>>(), ["audit", "default"]);
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "brokers are made by build()"]
pub struct BrokersBuilder {
    brokers: Vec<Broker>,
    error: Option<Error>,
}

impl BrokersBuilder {
    /// Sets the default broker.
    pub fn default<C: ProviderConfig>(self, config: C) -> Self {
        self.named(DEFAULT, config)
    }

    /// Adds a broker.
    pub fn named<C: ProviderConfig>(self, name: impl Into<String>, config: C) -> Self {
        self.named_with(name, BrokerConfig::default(), config)
    }

    /// Adds a broker with common settings.
    pub fn named_with<C: ProviderConfig>(
        mut self,
        name: impl Into<String>,
        common: BrokerConfig,
        config: C,
    ) -> Self {
        let name = name.into();
        let opened = if self.brokers.iter().any(|broker| broker.name() == name) {
            Err(Error::config(
                format!("brokers.{name}"),
                "set twice; keep one, or give one another name",
            ))
        } else {
            Broker::open_with(&name, common, config)
        };
        match opened {
            Ok(broker) => self.brokers.push(broker),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Opens them, without I/O.
    ///
    /// # Errors
    ///
    /// The first configuration that is wrong, or that there is no default.
    pub fn build(self) -> Result<Brokers> {
        match self.error {
            Some(error) => Err(error),
            None => Brokers::checked(self.brokers),
        }
    }
}
