//! Where the senders of a batch look for its outcome.

use std::sync::OnceLock;

use tokio::sync::Notify;

use super::publish::unanswered;
use crate::values::{Outcome, Published};

/// The outcome of a batch, for all of its senders: one allocation a batch, not one a message.
#[derive(Default)]
pub(super) struct Cell {
    outcome: OnceLock<Published>,
    done: Notify,
}

impl Cell {
    pub(super) fn complete(&self, published: Published) {
        let _ = self.outcome.set(published);
        self.done.notify_waiters();
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Waits for the outcome of the message at `index`.
    pub(super) async fn outcome(&self, index: usize) -> Outcome {
        self.done().await.outcome(index).unwrap_or_else(unanswered)
    }

    pub(super) async fn done(&self) -> &Published {
        loop {
            // Whoever is woken finds it here; asking to be told, only to find it then, costs the others a lock twice.
            if let Some(published) = self.outcome.get() {
                return published;
            }
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if let Some(published) = self.outcome.get() {
                return published;
            }
            done.await;
        }
    }
}
