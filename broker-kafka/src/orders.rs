//! What a group's poller is asked to do.

use std::sync::Mutex;

use broker_core::{Result, StartPosition};
use tokio::sync::oneshot;

use crate::client::lock;

/// What the poller is asked to do.
pub(crate) enum Order {
    /// Commits what is settled, and waits for it.
    Commit(oneshot::Sender<Result<()>>),
    /// Moves the group.
    Seek(StartPosition, oneshot::Sender<Result<()>>),
    /// Commits and leaves the group.
    Stop(oneshot::Sender<()>),
}

/// The orders that the poller has not taken; none once it is gone.
pub(crate) struct Orders(Mutex<Option<Vec<Order>>>);

impl Orders {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    /// Adds one. Once the poller is gone, or goes before it has answered, the answer's other end is told so by the channel.
    pub(crate) fn push(&self, order: Order) {
        if let Some(orders) = lock(&self.0).as_mut() {
            orders.push(order);
        }
    }

    pub(crate) fn take(&self) -> Vec<Order> {
        lock(&self.0).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The poller is gone: what it was asked for is answered by that.
    pub(crate) fn refuse(&self) {
        *lock(&self.0) = None;
    }
}
