//! What is sent.

use broker::Message;
use bytes::Bytes;

/// A hundred bytes, shared by all messages: measured is the hand-over, not the making of payloads.
static PAYLOAD: [u8; 100] = [b'x'; 100];

/// A message of a hundred bytes without a key.
pub(crate) fn message() -> Message {
    Message::new(Bytes::from_static(&PAYLOAD))
}

/// `count` such messages.
pub(crate) fn batch(count: usize) -> Vec<Message> {
    (0..count).map(|_| message()).collect()
}
