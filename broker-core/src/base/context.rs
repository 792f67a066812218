//! What an adapter is told when it is opened.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::config::BrokerConfig;
use crate::values::{BrokerEvent, ConsumerName};

/// What an adapter is told when it is opened, beside its own configuration.
#[derive(Clone, Debug)]
pub struct OpenContext {
    /// The configured name, such as `default`.
    pub name: Arc<str>,
    /// The settings that every broker has.
    pub config: Arc<BrokerConfig>,
    /// This process's name within its groups, unless a call names another.
    pub consumer: ConsumerName,
    /// Where events go.
    pub events: EventSender,
}

/// Tells a broker's events to whoever listens.
#[derive(Clone, Debug)]
pub struct EventSender(broadcast::Sender<BrokerEvent>);

impl EventSender {
    /// How many events a listener may be behind before it misses the oldest.
    const BUFFER: usize = 256;

    /// A sender without listeners yet.
    #[must_use]
    pub fn new() -> Self {
        Self(broadcast::Sender::new(Self::BUFFER))
    }

    /// Tells `event`; that nobody listens is fine.
    pub fn send(&self, event: BrokerEvent) {
        tracing::debug!(?event, "broker event");
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<BrokerEvent> {
        self.0.subscribe()
    }
}

impl Default for EventSender {
    fn default() -> Self {
        Self::new()
    }
}
