//! How a broker is: composed of a ping, the breaker, the counts and what the adapter reports.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;
use crate::values::{Error, ErrorKind, Health, HealthStatus, Result};

impl Shared {
    /// Asks the server for a sign of life; answers how long that took.
    pub(super) async fn ping(&self) -> Result<Duration> {
        self.check_open("ping")?;
        let start = Instant::now();
        let asked = async {
            if !self.is_connected() {
                self.base.ensure_connection().await?;
                self.connected()?;
            }
            self.base.ping().await
        };
        let answer = match tokio::time::timeout(self.config.ping_timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "no answer within {} (ping_timeout)",
                    humantime::format_duration(self.config.ping_timeout)
                ),
            )),
        };
        self.observe(&answer);
        answer.map_err(|error| error.operation("ping").provider(self.provider))?;
        let took = start.elapsed();
        *self.last_ping.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), took));
        Ok(took)
    }

    /// Never fails and never lies.
    pub(super) async fn health(&self) -> Health {
        let ping = self.ping().await;
        let report = self.base.health_stats();
        let status = match &ping {
            Err(_) => HealthStatus::Unhealthy,
            Ok(_) if self.breaker.is_open() || !report.warnings.is_empty() => HealthStatus::Degraded,
            Ok(_) => HealthStatus::Healthy,
        };
        let mut details = vec![
            ("broker".to_owned(), self.name.to_string()),
            ("provider".to_owned(), self.provider.to_owned()),
            ("capabilities".to_owned(), self.base.capabilities().to_string()),
        ];
        details.extend(report.details);
        details.extend(
            report
                .warnings
                .into_iter()
                .map(|warning| ("warning".to_owned(), warning)),
        );
        if let Err(error) = &ping {
            details.push(("error".to_owned(), error.to_string()));
        }
        let last_ping = *self.last_ping.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            status,
            connected: ping.is_ok(),
            ping: ping.ok(),
            last_ping: last_ping.map(|(at, _)| at.elapsed()),
            uptime: self.opened.elapsed(),
            counts: self.counters.snapshot(),
            details,
        }
    }
}
