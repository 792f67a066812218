//! A look at messages before they are stored.

use std::time::Duration;

use broker_core::Message;

/// What is to be known about messages before the lock is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// Payload, keys and headers of all.
    pub(crate) bytes: usize,
    /// Those of the largest.
    pub(crate) largest: usize,
    /// Some have a delay.
    pub(crate) delays: bool,
    /// Some have an id of their own.
    pub(crate) ids: bool,
}

impl Survey {
    #[inline]
    pub(crate) fn of(messages: &[Message]) -> Self {
        let mut survey = Self::default();
        for message in messages {
            survey.add(message);
        }
        survey
    }

    #[inline]
    pub(crate) fn add(&mut self, message: &Message) {
        let bytes = if message.is_plain() {
            message.payload().len() + message.message_key().map_or(0, |key| key.len())
        } else {
            self.delays |= delay_of(message).is_some();
            self.ids |= message.message_id().is_some();
            message.size()
        };
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }
}

/// The delay of a message that has one to speak of.
pub(crate) fn delay_of(message: &Message) -> Option<Duration> {
    message.delivery_delay().filter(|delay| !delay.is_zero())
}
