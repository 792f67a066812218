//! From a message to an entry's fields and back; `docs/wire-formats.md` is the prose of this file.

use broker_core::{Error, ErrorKind, Message, Result};
use bytes::{Bytes, BytesMut};
use redis::{Cmd, Value};
use serde_json::{Map, Value as Json};

use crate::config::WireFormat;

/// The payload. Always the first field that is written.
const DATA: &str = "data";
/// The key.
const KEY: &str = "key";
/// The application's own id.
const ID: &str = "id";
/// The message's kind.
const KIND: &str = "kind";
/// The payload's media type.
const TYPE: &str = "type";
/// Prefix of a header's name.
const HEADER: &str = "h:";
/// Prefix of the header that a foreign field comes as where it can't be part of JSON.
const FOREIGN: &str = "field:";
/// The group that a copy of a trimmed dead letter is for.
const FOR: &[u8] = b"broker-for";
/// The dead letter that it is a copy of.
const FROM: &[u8] = b"broker-from";
/// The header that names the dead letter a message was replayed from.
const REPLAYED_FROM: &str = "replayed-from";

/// An entry's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) message: Message,
    /// The only group it is for, if it is not for all.
    pub(crate) only_for: Option<Bytes>,
}

/// Whether `format` can carry `message`.
///
/// # Errors
///
/// [`ErrorKind::InvalidMessage`] with the part that would be lost.
pub(crate) fn check(message: &Message, format: WireFormat) -> Result<()> {
    if format == WireFormat::Native {
        return Ok(());
    }
    let lost = if message.message_key().is_some() {
        "a key"
    } else if !message.headers().is_empty() {
        "headers"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidMessage,
        format!("the wire format `protean` has no place for {lost}; use `native`"),
    ))
}

/// Appends a message's fields to a command.
pub(crate) fn encode(message: &Message, format: WireFormat, command: &mut Cmd) {
    command.arg(DATA).arg(message.payload().as_ref());
    if format == WireFormat::Protean {
        return;
    }
    if let Some(key) = message.message_key() {
        command.arg(KEY).arg(key.as_ref());
    }
    if message.is_plain() {
        return;
    }
    if let Some(id) = message.message_id() {
        command.arg(ID).arg(id);
    }
    if let Some(kind) = message.message_kind() {
        command.arg(KIND).arg(kind);
    }
    if let Some(media_type) = message.media_type() {
        command.arg(TYPE).arg(media_type);
    }
    for (name, value) in message.headers().iter() {
        command.arg(format!("{HEADER}{name}")).arg(value.as_ref());
    }
}

/// Reads an entry's fields.
pub(crate) fn decode(fields: Vec<Value>) -> Option<Content> {
    decode_into(fields, &mut Payloads::default())
}

/// As [`decode`], for entries that were read together.
pub(crate) fn decode_into(fields: Vec<Value>, payloads: &mut Payloads) -> Option<Content> {
    let mut fields = fields.into_iter();
    // Most entries are ours: the payload comes first.
    let first = fields.next()?;
    let value = payloads.take(fields.next()?)?;
    if matches!(&first, Value::BulkString(name) if name == DATA.as_bytes()) {
        let mut content = Content {
            message: Message::new(value),
            only_for: None,
        };
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            content.take(name, crate::reply::bytes(value)?)?;
        }
        return Some(content);
    }
    let mut pairs = vec![(crate::reply::bytes(first)?, value)];
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.push((crate::reply::bytes(name)?, crate::reply::bytes(value)?));
    }
    Some(foreign(pairs))
}

/// Marks a message as put back from the dead letters.
pub(crate) fn mark_replayed(message: &mut Message, letter: &[u8]) {
    message
        .headers_mut()
        .insert(REPLAYED_FROM, Bytes::copy_from_slice(letter));
}

/// A payload up to this size lies in one buffer with its neighbours.
const SMALL: usize = 256;

/// The size of such a buffer, all of which stays as long as any of its payloads.
const BUFFER: usize = 4096;

/// Small payloads of one read, in few buffers: a handler that takes one has no allocation of its own for it.
#[derive(Default)]
pub(crate) struct Payloads {
    room: BytesMut,
    /// Whether one came before: it is not alone.
    several: bool,
}

impl Payloads {
    fn take(&mut self, value: Value) -> Option<Bytes> {
        let several = std::mem::replace(&mut self.several, true);
        let Value::BulkString(payload) = value else {
            return crate::reply::bytes(value);
        };
        if payload.len() > SMALL || !several {
            return Some(Bytes::from(payload));
        }
        if self.room.capacity() < payload.len() {
            self.room = BytesMut::with_capacity(BUFFER);
        }
        self.room.extend_from_slice(&payload);
        Some(self.room.split().freeze())
    }
}

impl Content {
    fn take(&mut self, name: Value, value: Bytes) -> Option<()> {
        let Value::BulkString(name) = name else {
            return None;
        };
        let message = std::mem::take(&mut self.message);
        let as_text = |value: &Bytes| String::from_utf8(value.to_vec());
        self.message = match (name.as_slice(), as_text(&value)) {
            (b"key", _) => message.key(value),
            (b"id", Ok(id)) => message.id(id),
            (b"kind", Ok(kind)) => message.kind(kind),
            (b"type", Ok(media_type)) => message.content_type(media_type),
            (FOR, _) => {
                self.only_for = Some(value);
                message
            }
            (FROM, _) => message.header(REPLAYED_FROM, value),
            (name, _) => {
                let name = String::from_utf8_lossy(name);
                let name = name.strip_prefix(HEADER).unwrap_or(&name).to_owned();
                message.header(name, value)
            }
        };
        Some(())
    }
}

/// An entry that some other program wrote with fields of its own: as a JSON object of them.
fn foreign(pairs: Vec<(Bytes, Bytes)>) -> Content {
    let at = |wanted: &[u8]| pairs.iter().position(|(name, _)| name == wanted);
    if let Some(at) = at(DATA.as_bytes()) {
        // The payload is there, only not in the first place.
        let payload = pairs.get(at).map(|(_, value)| value.clone()).unwrap_or_default();
        let mut content = Content {
            message: Message::new(payload),
            only_for: None,
        };
        for (index, (name, value)) in pairs.into_iter().enumerate() {
            if index != at {
                content.take(Value::BulkString(name.to_vec()), value);
            }
        }
        return content;
    }
    let (mut object, mut only_for, mut odd) = (Map::new(), None, Vec::new());
    for (name, value) in pairs {
        match (std::str::from_utf8(&name), std::str::from_utf8(&value)) {
            _ if name == FOR => only_for = Some(value),
            (Ok(name), Ok(text)) => {
                object.insert(name.to_owned(), Json::String(text.to_owned()));
            }
            _ => odd.push((format!("{FOREIGN}{}", String::from_utf8_lossy(&name)), value)),
        }
    }
    let mut message = Message::new(Json::Object(object).to_string()).content_type("application/json");
    for (name, value) in odd {
        message = message.header(name, value);
    }
    Content { message, only_for }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through_the_wire(message: &Message) -> Content {
        let mut command = Cmd::new();
        encode(message, WireFormat::Native, &mut command);
        let fields = command.args_iter().map(|arg| match arg {
            redis::Arg::Simple(bytes) => Value::BulkString(bytes.to_vec()),
            _ => Value::Nil,
        });
        decode(fields.collect()).unwrap()
    }

    #[test]
    fn payloads_that_were_read_together_stay_apart() {
        let mut payloads = Payloads::default();
        let sizes = (0..SMALL + 2).chain([BUFFER + 1, 3]);
        let written: Vec<Vec<u8>> = sizes
            .map(|size| vec![u8::try_from(size % 251).unwrap(); size])
            .collect();
        let read: Vec<Content> = written
            .iter()
            .map(|payload| {
                let fields = [DATA.as_bytes(), payload].map(|bytes| Value::BulkString(bytes.to_vec()));
                decode_into(fields.into(), &mut payloads).unwrap()
            })
            .collect();
        for (content, payload) in read.iter().zip(&written) {
            assert_eq!(content.message.payload(), payload);
        }
    }

    fn entry(fields: &[(&[u8], &[u8])]) -> Content {
        let flat = fields.iter().flat_map(|(name, value)| [*name, *value]);
        decode(flat.map(|bytes| Value::BulkString(bytes.to_vec())).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn every_message_survives_the_wire(
            payload: Vec<u8>, key: Option<Vec<u8>>, id: Option<String>, kind: Option<String>,
            media_type: Option<String>, headers in proptest::collection::vec((".{1,20}", any::<Vec<u8>>()), 0..5),
        ) {
            let mut message = Message::new(payload);
            if let Some(key) = key { message = message.key(key); }
            if let Some(id) = id { message = message.id(id); }
            if let Some(kind) = kind { message = message.kind(kind); }
            if let Some(media_type) = media_type { message = message.content_type(media_type); }
            for (name, value) in headers { message = message.header(name, value); }
            prop_assert_eq!(through_the_wire(&message).message, message);
        }

        #[test]
        fn no_entry_panics(fields: Vec<Vec<u8>>) {
            let _ = decode(fields.into_iter().map(Value::BulkString).collect());
        }
    }

    #[test]
    fn what_protean_writes_is_read() {
        let content = entry(&[(b"data", b"{\"id\":7}")]);
        assert_eq!(content.message, Message::new("{\"id\":7}"));
    }

    #[test]
    fn foreign_fields_become_a_json_object_and_no_byte_is_lost() {
        let content = entry(&[(b"name", b"ann"), (b"age", b"7"), (b"photo", b"\xff\xd8")]);
        let message = content.message;
        assert_eq!(message.payload().as_ref(), br#"{"age":"7","name":"ann"}"#);
        assert_eq!(
            message.headers().get("field:photo").unwrap().as_ref(),
            b"\xff\xd8"
        );
    }

    #[test]
    fn the_protean_format_refuses_what_it_would_lose() {
        let error = check(&Message::text("{}").key("k"), WireFormat::Protean).unwrap_err();
        assert!(error.to_string().contains("no place for a key"));
        assert!(check(&Message::text("{}"), WireFormat::Protean).is_ok());
    }
}
