//! The provider's settings.

use broker_core::base::OpenContext;
use broker_core::config::BrokerUrl;
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Capabilities, Error, Result};
use serde::Deserialize;

use crate::broker::InlineBroker;
use crate::claims::Claims;
use crate::limits::Limits;

/// The settings of an in-process broker.
///
/// ```toml
/// [brokers.default]
/// provider = "inline"
/// partitions = 4
/// capacity = 100_000
/// ```
///
/// Brokers with the same `shared` name have the same streams, for as long as one of them is there; any other broker
/// has streams of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct InlineConfig {
    /// `inline://` or `inline://NAME`, which is `shared = "NAME"`.
    uri: Option<BrokerUrl>,
    /// The name of the state, for brokers of one process that are to have the same streams.
    shared: Option<String>,
    /// Capabilities to keep (`RELIABLE_MESSAGING`) or to take away (`-REPLAY`), to imitate a weaker broker.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    capabilities: Option<Claims>,
    /// How many partitions each stream has.
    partitions: u32,
    /// How many messages a stream keeps, those that wait to be delivered included.
    capacity: usize,
    /// How many bytes of payload, keys and headers a stream keeps.
    capacity_bytes: usize,
    /// How many messages a stream keeps that every group has settled, for late groups and for moving a group back.
    /// Without a group, it keeps as many as it has room for.
    history: usize,
    /// What publishing does when a stream is full of messages that some group has not settled.
    when_full: WhenFull,
    /// Whether publishing waits for the handlers.
    processing: Processing,
    /// How far a group may get ahead of its oldest unsettled delivery, in messages of one partition.
    max_unsettled: usize,
    /// How many streams there may be.
    max_streams: usize,
    /// How many groups a stream may have.
    max_groups: usize,
    /// How many dead letters a group keeps.
    max_dead_letters: usize,
    /// How many message ids a stream remembers, so that publishing one of them again stores nothing.
    idempotency_window: usize,
}

/// What publishing does when a stream is full of messages that some group has not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It waits for room.
    #[default]
    Wait,
    /// It answers [`Throttled`](broker_core::ErrorKind::Throttled), and nothing is stored.
    Refuse,
}

/// Whether publishing waits for the handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Processing {
    /// It returns when the message is stored.
    #[default]
    Async,
    /// It returns when every group that a running subscription of this process reads for has settled the message for
    /// good, its retries included; what a group gave up is the error of the publish. For scripts and tests.
    ///
    /// A handler that publishes waits for the handlers of what it publishes: to the stream that it handles itself, it
    /// would wait for itself until the `operation_timeout`. Delayed messages are not waited for.
    Sync,
}

impl Default for InlineConfig {
    fn default() -> Self {
        Self {
            uri: None,
            shared: None,
            capabilities: None,
            partitions: 1,
            capacity: 65_536,
            capacity_bytes: 64 * 1024 * 1024,
            history: 8_192,
            when_full: WhenFull::Wait,
            processing: Processing::Async,
            max_unsettled: 65_536,
            max_streams: 10_000,
            max_groups: 1_000,
            max_dead_letters: 10_000,
            idempotency_window: 10_000,
        }
    }
}

impl InlineConfig {
    /// The default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shares the streams with every broker of this process that says the same name.
    #[must_use]
    pub fn shared(mut self, name: impl Into<String>) -> Self {
        self.shared = Some(name.into());
        self
    }

    /// Keeps only these capabilities.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where the broker never had one of them, or one needs
    /// another that is not kept.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Result<Self> {
        let claims = Claims::new(capabilities).map_err(|error| Error::config("capabilities", error))?;
        self.capabilities = Some(claims);
        Ok(self)
    }

    /// Sets how many partitions each stream has.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets how many messages a stream keeps.
    #[must_use]
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// Sets how many bytes a stream keeps.
    #[must_use]
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// Sets how many messages a stream keeps that every group has settled.
    #[must_use]
    pub fn history(mut self, messages: usize) -> Self {
        self.history = messages;
        self
    }

    /// Sets what publishing does when a stream is full.
    #[must_use]
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Sets whether publishing waits for the handlers.
    #[must_use]
    pub fn processing(mut self, processing: Processing) -> Self {
        self.processing = processing;
        self
    }

    /// Sets how far a group may get ahead of its oldest unsettled delivery.
    #[must_use]
    pub fn max_unsettled(mut self, deliveries: usize) -> Self {
        self.max_unsettled = deliveries;
        self
    }

    /// Sets how many streams there may be.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Sets how many groups a stream may have.
    #[must_use]
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.max_groups = groups;
        self
    }

    /// Sets how many dead letters a group keeps.
    #[must_use]
    pub fn max_dead_letters(mut self, letters: usize) -> Self {
        self.max_dead_letters = letters;
        self
    }

    /// Sets how many message ids a stream remembers.
    #[must_use]
    pub fn idempotency_window(mut self, ids: usize) -> Self {
        self.idempotency_window = ids;
        self
    }

    pub(crate) fn claims(&self) -> Claims {
        self.capabilities.unwrap_or_default()
    }

    /// Whether publishing waits for the handlers.
    pub(crate) fn waits(&self) -> Result<bool> {
        let settles = |claims: Claims| {
            claims
                .capabilities()
                .contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT)
        };
        if self.processing == Processing::Sync && !settles(self.claims()) {
            return Err(Error::config(
                "processing",
                "`sync` needs MESSAGE_ACKNOWLEDGEMENT, which `capabilities` leaves out: without it nobody knows when a message is handled",
            ));
        }
        Ok(self.processing == Processing::Sync)
    }

    /// The name of the shared state, if there is to be one.
    pub(crate) fn shared_name(&self) -> Result<Option<String>> {
        let Some(uri) = &self.uri else {
            return Ok(self.shared.clone());
        };
        let wrong = |message: &str| Err(Error::config("uri", message));
        let path = uri.path().trim_matches('/');
        let named = match uri.hosts() {
            [] => None,
            [(name, None)] => Some(name.clone()),
            _ => return wrong("`inline://` or `inline://NAME` is expected, without port and with one name"),
        };
        if !path.is_empty() || uri.username().is_some() || uri.password().is_some() {
            return wrong("`inline://` or `inline://NAME` is expected, without user, password and path");
        }
        match (named, &self.shared) {
            (Some(named), Some(shared)) if named != *shared => {
                wrong("names another state than `shared`; keep one of them")
            }
            (Some(named), _) => Ok(Some(named)),
            (None, shared) => Ok(shared.clone()),
        }
    }

    /// The bounds, checked.
    pub(crate) fn limits(&self) -> Result<Limits> {
        let bounds = [
            ("partitions", self.partitions as usize, 1_024),
            ("capacity", self.capacity, usize::MAX / 2),
            ("capacity_bytes", self.capacity_bytes, usize::MAX / 2),
            ("max_unsettled", self.max_unsettled, 1 << 28),
            ("max_streams", self.max_streams, usize::MAX),
            ("max_groups", self.max_groups, usize::MAX),
            ("max_dead_letters", self.max_dead_letters, usize::MAX / 2),
        ];
        for (key, value, most) in bounds {
            if value == 0 || value > most {
                return Err(Error::config(
                    key,
                    format!("{value} is out of bounds; a number from 1 to {most} is expected"),
                ));
            }
        }
        if self.partitions > 1
            && !self
                .claims()
                .capabilities()
                .contains(Capabilities::STREAM_PARTITIONING)
        {
            return Err(Error::config(
                "partitions",
                "more than one partition needs STREAM_PARTITIONING, which `capabilities` leaves out",
            ));
        }
        Ok(Limits {
            partitions: self.partitions,
            capacity: self.capacity,
            capacity_bytes: self.capacity_bytes,
            history: self.history,
            when_full: self.when_full,
            max_unsettled: self.max_unsettled,
            max_streams: self.max_streams,
            max_groups: self.max_groups,
            max_dead_letters: self.max_dead_letters,
            idempotency_window: self.idempotency_window,
        })
    }
}

impl ProviderConfig for InlineConfig {
    type Broker = InlineBroker;

    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, context: OpenContext) -> Result<InlineBroker> {
        InlineBroker::open(&self, &context)
    }
}
