//! How a broker is.

use std::time::Duration;

use serde::Serialize;

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// It works, but something wants attention; the details say what.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl HealthStatus {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Messages counted since the broker was opened, or since the counts were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Published and stored.
    pub published: u64,
    /// Messages whose publishing failed or whose outcome is unknown.
    pub publish_failed: u64,
    /// Handed to consumers, redeliveries included.
    pub delivered: u64,
    /// Handed to consumers for the second time or later.
    pub redelivered: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Refused, to come again.
    pub nacked: u64,
    /// Sent to the dead letters.
    pub dead: u64,
    /// Refused and thrown away as asked.
    pub discarded: u64,
    /// Handed out and not settled yet.
    pub in_flight: u64,
    /// Calls that failed for good.
    pub failed_calls: u64,
}

/// What `health` answers: it never fails and never lies.
///
/// ```
/// use broker::HealthStatus;
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
///
/// let health = broker.health_stats().await;
/// assert_eq!(health.status, HealthStatus::Healthy);
/// assert_eq!(health.counts.published, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Whether the last ping was answered.
    pub connected: bool,
    /// How long the last ping took.
    pub ping: Option<Duration>,
    /// How long ago the last ping was answered.
    pub last_ping: Option<Duration>,
    /// Since the broker was opened.
    pub uptime: Duration,
    /// Messages counted.
    pub counts: Counts,
    /// What else the adapter or the status has to say: names and values.
    pub details: Vec<(String, String)>,
}
