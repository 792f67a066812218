//! Messages on their way to the broker.

use crate::values::{Message, StreamName};

/// Messages to be stored in one stream, in order.
///
/// The batch stays with the caller, so that trying again copies nothing; an adapter that keeps messages takes them.
#[derive(Debug)]
pub struct PublishBatch<'a> {
    stream: &'a StreamName,
    messages: &'a mut Vec<Message>,
}

impl<'a> PublishBatch<'a> {
    /// A batch of `messages` for `stream`.
    #[must_use]
    pub fn new(stream: &'a StreamName, messages: &'a mut Vec<Message>) -> Self {
        Self { stream, messages }
    }

    /// Where to.
    #[must_use]
    pub fn stream(&self) -> &'a StreamName {
        self.stream
    }

    /// What.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        self.messages
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The caller's own list, for an adapter that stores a batch in pieces or waits for room: what is left in it when
    /// the call ends or is dropped was not stored.
    #[must_use]
    pub fn into_inner(self) -> &'a mut Vec<Message> {
        self.messages
    }

    /// Takes the messages out, when it is certain that all of them get stored.
    #[must_use]
    pub fn take(self) -> Vec<Message> {
        std::mem::take(self.messages)
    }
}
