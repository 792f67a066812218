//! Letting go of a broker without losing what it accepted.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::attempts::NEVER;
use super::broker::Broker;
use super::lifecycle::Stage;
use super::shared::Shared;
use crate::values::{Error, ErrorKind, Result};

impl Broker {
    /// Flushes publishers and acks, wakes blocked readers, and lets go. After it every call answers
    /// [`ErrorKind::Closed`]. Doing it again, from whatever task, is fine: it waits until the broker is closed.
    ///
    /// New calls are refused from the beginning; what was accepted before has `operation_timeout` to go out.
    ///
    /// # Errors
    ///
    /// What the adapter answers; the broker is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the broker half closed; calling it again goes on.
    pub async fn close(&self) -> Result<()> {
        let answer = self.shared.close().await;
        self.members.clear();
        answer
    }
}

impl Shared {
    async fn close(&self) -> Result<()> {
        self.life.advance(Stage::Draining);
        let _turn = self.life.closer.acquire().await;
        if self.life.let_go.load(Ordering::Acquire) {
            return Ok(());
        }
        let allowed = self.config.operation_timeout.min(NEVER);
        if tokio::time::timeout(allowed, self.drain()).await.is_err() {
            tracing::warn!(broker = %self.name, "not all that was accepted went out before closing (operation_timeout)");
        }
        self.life.advance(Stage::Closed);
        self.join_tasks().await;
        self.publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let answer = match tokio::time::timeout(allowed, self.base.close()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "the adapter did not close within {} (operation_timeout)",
                    humantime::format_duration(allowed)
                ),
            )),
        };
        self.life.let_go.store(true, Ordering::Release);
        answer.map_err(|error| error.operation("close").provider(self.provider))
    }

    /// Sends what was accepted: messages, acks, and what is given back.
    async fn drain(&self) {
        for queue in self.queues.all() {
            queue.flush().await;
        }
        for consumer in self.consumers.all() {
            if let Err(error) = consumer.flush().await {
                tracing::warn!(%error, "acks were not sent before closing; their messages come again");
            }
        }
        self.join_tasks().await;
    }
}
