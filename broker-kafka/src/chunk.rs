//! Messages that came in together.

use std::time::{Duration, SystemTime};

use broker_core::base::MessageStore;
use broker_core::{Message, MessageId, Receipt};

use crate::retry::Retried;

/// Messages with neighbouring offsets of one partition; their bytes lie in one piece.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) messages: Vec<Message>,
    /// Milliseconds since 1970, as the log has them.
    pub(crate) times: Vec<i64>,
    pub(crate) bytes: usize,
    /// What is told of each, where they come from a retry topic.
    pub(crate) retried: Vec<Retried>,
}

impl Chunk {
    pub(crate) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    /// What is told of the message at `index`, where it comes from a retry topic.
    pub(crate) fn retried(&self, index: usize) -> Option<&Retried> {
        self.retried.get(index)
    }
}

impl broker_window::Chunk for Chunk {
    fn before(&self, index: usize) -> u32 {
        self.retried(index).map_or(0, |retried| retried.attempts)
    }
}

impl MessageStore for Chunk {
    fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// A message that comes again has the id that it had the first time.
    fn id(&self, index: usize, receipt: &Receipt) -> MessageId {
        match self.retried(index).and_then(|retried| retried.origin) {
            Some((partition, offset)) => MessageId::Offset { partition, offset },
            None => receipt.offset_id(),
        }
    }

    fn stored_at(&self, index: usize) -> Option<SystemTime> {
        time(*self.times.get(index)?)
    }
}

/// The moment that a record's timestamp tells.
pub(crate) fn time(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
