//! Brokers on private servers.

use std::time::Duration;

use broker_core::config::Settings;
use broker_core::registry::Registry;
use broker_core::{Broker, Message, Result};
use broker_redis_streams::PROVIDER;
use tokio::time::Instant;

/// How long a test waits for what must happen.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(60);

/// A broker at `url` with further settings.
pub(crate) fn open(url: &str, more: &[(&str, &str)]) -> Result<Broker> {
    let mut settings = Settings::from_url(url)?;
    settings.set("provider", "redis", None);
    for (key, value) in more {
        settings.set(key, *value, None);
    }
    open_with(settings)
}

/// A broker with these settings.
pub(crate) fn open_with(settings: Settings) -> Result<Broker> {
    let mut registry = Registry::new();
    registry.add(&PROVIDER)?;
    Broker::from_settings("default", settings, &registry)
}

pub(crate) fn text(number: usize) -> Message {
    Message::text(number.to_string())
}

/// Publishes and reads one message, and acks it.
pub(crate) async fn round_trip(broker: &Broker, stream: &str) -> Result<()> {
    broker.publish(stream, text(0)).await?;
    let wait = Duration::from_secs(5);
    for delivery in broker.read_wait(stream, "billing", 1, wait).await? {
        delivery.ack().await?;
    }
    Ok(())
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + EVENTUALLY;
    while !condition().await {
        assert!(Instant::now() < until, "did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
