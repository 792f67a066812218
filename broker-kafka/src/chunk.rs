//! Messages that came in together.

use std::time::{Duration, SystemTime};

use broker_core::Message;
use broker_core::base::MessageStore;

/// Messages with neighbouring offsets of one partition; their bytes lie in one piece.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) messages: Vec<Message>,
    /// Milliseconds since 1970, as the log has them.
    pub(crate) times: Vec<i64>,
    pub(crate) bytes: usize,
}

impl Chunk {
    pub(crate) fn len(&self) -> u64 {
        self.messages.len() as u64
    }
}

impl MessageStore for Chunk {
    fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
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
