//! One declared queue.

use broker_core::broker::Broker;
use broker_core::{Message, MessageId};
use serde::Serialize;

use super::declaration::Declaration;
use super::error::QueueError;
use crate::layers::current;

/// One declared queue of a broker.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    pub(super) broker: &'a Broker,
    pub(super) name: &'a str,
    pub(super) declaration: &'a Declaration,
}

impl Queue<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Sends a value as JSON.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotSerializable`], of which nothing was sent, and what publishing answers.
    pub async fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<MessageId, QueueError> {
        let message = Message::json(value).map_err(|source| QueueError::NotSerializable {
            queue: self.name.to_owned(),
            source,
        })?;
        self.send_message(message).await
    }

    /// Sends a message, with a key or headers of its own. Below a
    /// [`CorrelationLayer`](crate::layers::CorrelationLayer) it follows from the message that is being handled.
    ///
    /// # Errors
    ///
    /// What publishing answers.
    pub async fn send_message(&self, message: Message) -> Result<MessageId, QueueError> {
        let message = match current() {
            Some(current) => current.follow(message),
            None => message,
        };
        Ok(self.broker.publish(&self.declaration.stream, message).await?)
    }

    /// How many messages wait or are being handled. Before anybody has handled the first, that is all of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](broker_core::ErrorKind::Unsupported) where the broker counts none, and what the
    /// connection answers.
    pub async fn queue_length(&self) -> Result<u64, QueueError> {
        let Declaration { stream, group } = self.declaration;
        let groups = self.broker.groups(stream).await?;
        if let Some(info) = groups.iter().find(|info| info.group == *group) {
            return Ok(info.lag + info.pending);
        }
        let info = self.broker.stream_info(stream).await?;
        Ok(info.map_or(0, |info| info.messages))
    }
}
