//! Servers for who is no broker.

use std::sync::Arc;

use broker_core::base::{EventSender, OpenContext};
use broker_core::config::BrokerConfig;
use broker_core::{ConsumerName, Result};

use crate::{ConnectionSettings, Redis, Script};

impl Redis {
    /// As [`new`](Self::new), for who is no broker: nobody hears of its events.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn apart<'a>(
        settings: ConnectionSettings,
        config: BrokerConfig,
        name: &'static str,
        scripts: impl IntoIterator<Item = &'a Script>,
    ) -> Result<Self> {
        let context = OpenContext {
            name: Arc::from(name),
            config: Arc::new(config),
            consumer: ConsumerName::new(name)?,
            events: EventSender::new(),
        };
        Self::new(settings, &context, name, scripts)
    }
}
