//! From a message to a file and back: one line of JSON, then the payload as it is.

use broker_core::Message;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    key: Option<Bytes>,
    id: Option<String>,
    kind: Option<String>,
    content_type: Option<String>,
    headers: Vec<(String, Bytes)>,
}

pub(crate) fn encode(message: &Message) -> serde_json::Result<Vec<u8>> {
    let headers = message.headers().iter();
    let head = Head {
        key: message.message_key().cloned(),
        id: message.message_id().map(str::to_owned),
        kind: message.message_kind().map(str::to_owned),
        content_type: message.media_type().map(str::to_owned),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
    };
    let mut file = serde_json::to_vec(&head)?;
    file.push(b'\n');
    file.extend_from_slice(message.payload());
    Ok(file)
}

/// The message, or `None` where somebody else wrote the file.
pub(crate) fn decode(file: Vec<u8>) -> Option<Message> {
    let file = Bytes::from(file);
    let end = file.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&file.slice(..end)).ok()?;
    let mut message = Message::new(file.slice(end + 1..));
    message = set(message, head.key, Message::key);
    message = set(message, head.id, Message::id);
    message = set(message, head.kind, Message::kind);
    message = set(message, head.content_type, Message::content_type);
    let headers = head.headers.into_iter();
    Some(headers.fold(message, |message, (name, value)| message.header(name, value)))
}

fn set<T>(message: Message, value: Option<T>, setter: fn(Message, T) -> Message) -> Message {
    match value {
        Some(value) => setter(message, value),
        None => message,
    }
}
