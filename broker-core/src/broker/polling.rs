//! Waiting for messages on a broker that can't wait by itself.

use std::time::Duration;

use tokio::time::Instant;

use super::consumer::Consumer;
use crate::base::Deliveries;
use crate::values::{Capabilities, Result};

/// The first pause between two looks; each further one is twice as long.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest pause between two looks: a message that nobody announces waits for it at most, and a consumer that
/// idles asks five times a second.
const LONGEST: Duration = Duration::from_millis(200);

impl Consumer {
    /// Reads from the adapter, waiting up to `wait` for the first message. An adapter without `BLOCKING_READ` is never
    /// asked to wait: it is asked again and again, so that none has to write this loop.
    pub(super) async fn read_waiting(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        let blocks = self
            .shared
            .base
            .capabilities()
            .contains(Capabilities::BLOCKING_READ);
        if blocks || wait.is_zero() {
            let read = || self.endpoint.read(max, wait);
            return self.shared.call_waiting("read", wait, read).await;
        }
        let (until, mut pause) = (Instant::now() + wait, SHORTEST);
        loop {
            let read = || self.endpoint.read(max, Duration::ZERO);
            let deliveries = self.shared.call("read", read).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !deliveries.is_empty() || left.is_zero() {
                return Ok(deliveries);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }
}
