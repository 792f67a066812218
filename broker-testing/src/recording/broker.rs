//! A broker for code that publishes.

use std::ops::Deref;

use broker_core::Capabilities;
use broker_core::broker::Broker;
use broker_core::config::BrokerConfig;
use broker_inline::InlineConfig;

use super::adapter::RecordingConfig;
use super::messages::RecordedMessages;
use super::tape::{Recorded, Tape};
use crate::unmet::unmet;

/// A broker for code that publishes: it is a whole in-process broker, which also records what is stored.
///
/// ```
/// use broker_core::{Broker, Message, Result};
/// use broker_testing::RecordingBroker;
///
/// async fn place(broker: &Broker, order: u64) -> Result<()> {
///     broker.publish("orders", Message::json(&order)?.kind("order.placed")).await.map(drop)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let broker = RecordingBroker::new();
/// place(&broker, 7).await?;
/// assert_eq!(broker.published("orders").of_kind("order.placed").json::<u64>(), [7]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RecordingBroker {
    broker: Broker,
    tape: Tape,
}

impl RecordingBroker {
    /// A broker with all that the in-process one can do.
    #[must_use]
    pub fn new() -> Self {
        Self::with(BrokerConfig::default(), InlineConfig::default())
    }

    /// A broker with only these capabilities, to imitate a weaker one.
    ///
    /// # Panics
    ///
    /// Where the in-process broker never had one of them.
    #[must_use]
    #[track_caller]
    pub fn weaker(capabilities: Capabilities) -> Self {
        match InlineConfig::default().capabilities(capabilities) {
            Ok(inline) => Self::with(BrokerConfig::default(), inline),
            Err(error) => unmet(&error.to_string()),
        }
    }

    /// A broker with these settings.
    ///
    /// # Panics
    ///
    /// Where they are wrong.
    #[must_use]
    #[track_caller]
    pub fn with(common: BrokerConfig, inline: InlineConfig) -> Self {
        let tape = Tape::default();
        let config = RecordingConfig {
            inline,
            tape: tape.clone(),
        };
        match Broker::open_with("default", common, config) {
            Ok(broker) => Self { broker, tape },
            Err(error) => unmet(&error.to_string()),
        }
    }

    /// The broker itself, to be handed to the code under test.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What was stored on this stream.
    #[must_use]
    pub fn published(&self, stream: &str) -> RecordedMessages {
        RecordedMessages::on(stream, self.tape.all())
    }

    /// What was stored on all streams, in order.
    #[must_use]
    pub fn all_published(&self) -> Vec<Recorded> {
        self.tape.all()
    }

    /// Forgets what was recorded; the messages stay where they are.
    pub fn forget(&self) {
        self.tape.clear();
    }
}

impl Default for RecordingBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for RecordingBroker {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}
