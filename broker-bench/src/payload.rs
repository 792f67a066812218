//! What is sent.

use broker::Message;
use bytes::Bytes;

/// The bytes of every payload.
static PAYLOAD: [u8; 100] = [b'x'; 100];

/// Where a message's hundred bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Each message has a buffer of its own, made by the publisher and freed behind the consumer, as in life.
    Own,
    /// All messages lend one static buffer: what is counted then is the hand-over alone.
    Lent,
}

/// A buffer with the bytes of a payload.
pub fn bytes() -> Vec<u8> {
    PAYLOAD.to_vec()
}

impl Payload {
    /// A message of a hundred bytes without a key.
    pub fn message(self) -> Message {
        match self {
            Self::Own => Message::new(bytes()),
            Self::Lent => Message::new(Bytes::from_static(&PAYLOAD)),
        }
    }

    /// `count` such messages.
    pub fn batch(self, count: usize) -> Vec<Message> {
        (0..count).map(|_| self.message()).collect()
    }
}
