//! `broker health`.

use std::time::Duration;

use broker_core::{Broker, HealthStatus};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Stop};
use crate::json::milliseconds;
use crate::session::Session;
use crate::table::Table;

/// Tell how the broker is; fails where it is unhealthy.
#[derive(Args)]
pub(crate) struct Health {}

impl Health {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.open()?;
        let health = broker.health_stats().await;
        if session.is_json() {
            session.object(&object(&broker, &health))?;
        } else {
            session.table(&table(&broker, &health))?;
        }
        // The report was made; a connection that can't be closed is a part of it.
        let _reported = broker.close().await;
        match health.status {
            HealthStatus::Healthy | HealthStatus::Degraded => Ok(()),
            HealthStatus::Unhealthy if health.connected => Err(Stop::quietly(Exit::Failure)),
            HealthStatus::Unhealthy => Err(Stop::quietly(Exit::Connection)),
        }
    }
}

fn object(broker: &Broker, health: &broker_core::Health) -> Value {
    let of = |name: &str| {
        let named = health.details.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let own = ["broker", "provider", "capabilities", "warning", "error"];
    let details: Map<String, Value> = health
        .details
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({
        "broker": broker.name(),
        "provider": broker.provider(),
        "status": health.status,
        "connected": health.connected,
        "ping_ms": health.ping.map(milliseconds),
        "last_ping_ms": health.last_ping.map(milliseconds),
        "uptime_ms": milliseconds(health.uptime),
        "capabilities": broker.capabilities(),
        "lost_capabilities": broker.lost_capabilities(),
        "counts": health.counts,
        "warnings": of("warning"),
        "error": of("error").first(),
        "details": details,
    })
}

fn table(broker: &Broker, health: &broker_core::Health) -> Table {
    let mut table = Table::plain();
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    let ms = |duration: Option<Duration>| match duration {
        Some(duration) => format!("{} ms", milliseconds(duration)),
        None => "-".to_owned(),
    };
    row("status", health.status.as_str().to_owned());
    row(
        "connected",
        if health.connected { "yes" } else { "no" }.to_owned(),
    );
    row("ping", ms(health.ping));
    for (name, value) in &health.details {
        row(name, value.clone());
    }
    for lost in broker.lost_capabilities() {
        row("without", format!("{}: {}", lost.capability, lost.reason));
    }
    table
}
