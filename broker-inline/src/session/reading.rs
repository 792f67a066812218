//! Handing out messages, at once or when there are some.

use std::time::Duration;

use broker_core::base::Deliveries;
use broker_core::{Capabilities, Result, StartPosition};

use super::session::Session;
use crate::group::{Consumer, Gone, Group};
use crate::stream::Stream;

impl Session {
    /// Refuses to wait where that is not claimed.
    pub(crate) fn check_wait(&self, wait: Duration) -> Result<()> {
        if wait.is_zero() {
            Ok(())
        } else {
            self.check(Capabilities::BLOCKING_READ)
        }
    }

    /// Hands out what is there; `None` where nothing is.
    #[inline]
    pub(crate) fn try_read(
        &self,
        stream: &Stream,
        group: &Group,
        consumer: &Consumer,
        start: &StartPosition,
        max: usize,
    ) -> Option<Result<Deliveries>> {
        if let Err(error) = self.check(Capabilities::CONSUMER_GROUPS) {
            return Some(Err(error));
        }
        if max == 0 {
            return Some(Ok(Deliveries::new()));
        }
        let now = self.hub.clock.now();
        stream.admit(now);
        loop {
            match group.read(stream, consumer, now, max) {
                Ok(deliveries) if deliveries.is_empty() => {
                    stream.ran_dry();
                    return None;
                }
                Ok(deliveries) => {
                    if !consumer.settles {
                        stream.freed(deliveries.len() as u64);
                    }
                    return Some(Ok(deliveries));
                }
                Err(Gone) => {
                    if let Err(error) = stream.recreate(group, start) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Hands out messages, and waits for the first one.
    pub(crate) async fn read(
        &self,
        stream: &Stream,
        group: &Group,
        consumer: &Consumer,
        start: &StartPosition,
        max: usize,
        wait: Duration,
    ) -> Result<Deliveries> {
        let attempt = || self.try_read(stream, group, consumer, start, max);
        self.check_wait(wait)?;
        if let Some(read) = attempt() {
            return read;
        }
        if wait.is_zero() {
            return Ok(Deliveries::new());
        }
        let until = self.hub.clock.now().after(wait);
        let due = || group.due().min(stream.delayed_due());
        let attempt = || {
            stream.meet_publishers();
            attempt()
        };
        let read = group.gate.wait(&self.hub.clock, until, attempt, due).await;
        read.unwrap_or_else(|| Ok(Deliveries::new()))
    }
}
