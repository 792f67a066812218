//! Messages to the bytes of one list element or channel message, and back.
//!
//! `docs/wire-formats.md` describes what is written here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::{Error, ErrorKind, Message, MessageId, Result};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::config::WireFormat;

/// What an element begins with that holds more than a payload; no text begins so.
const MAGIC: &[u8] = b"\0mb1";

const JSON: &str = "application/json";

/// What a pair ends with whose message says nothing of its content type: JSON ignores the blank.
const UNTYPED: &[u8] = b" ]";

const PAYLOAD: u8 = 0;
const ID: u8 = 1;
const KEY: u8 = 2;
const MESSAGE_ID: u8 = 3;
const KIND: u8 = 4;
const CONTENT_TYPE: u8 = 5;
const HEADER: u8 = 6;

/// Writes messages in one format, each under an id of its own.
pub(crate) struct Codec {
    format: WireFormat,
    /// Tells this process's ids from those of any other.
    prefix: String,
    next: AtomicU64,
}

impl Codec {
    pub(crate) fn new(format: WireFormat) -> Self {
        // A letter first, so that no id looks like a number.
        let prefix: String = std::iter::once('m')
            .chain(std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(15))
            .collect();
        Self {
            format,
            prefix,
            next: AtomicU64::new(1),
        }
    }

    /// The id and the bytes of `message`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where the format can't carry what the message has.
    pub(crate) fn encode(&self, message: &Message) -> Result<(MessageId, Vec<u8>)> {
        let id = format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed));
        let bytes = match self.format {
            WireFormat::Native if is_json_alone(message) => {
                pair(&id, message.payload(), message.media_type().is_some())
            }
            WireFormat::Native => envelope(&id, message),
            WireFormat::Protean => {
                refuse_metadata(message, "protean")?;
                if !is_object(message.payload()) {
                    return Err(Error::new(
                        ErrorKind::InvalidMessage,
                        "the format `protean` carries JSON objects only; set `format = \"native\"`",
                    ));
                }
                pair(&id, message.payload(), message.media_type().is_some())
            }
            WireFormat::Plain => {
                refuse_metadata(message, "plain")?;
                message.payload().to_vec()
            }
        };
        Ok((MessageId::Text(id.into()), bytes))
    }
}

/// The id, where the element carries one, and the message of these bytes; anything is at least a payload.
pub(crate) fn decode(bytes: Vec<u8>) -> (Option<MessageId>, Message) {
    let bytes = Bytes::from(bytes);
    if bytes.starts_with(MAGIC) {
        if let Some(opened) = open(&bytes) {
            return opened;
        }
    } else if bytes.starts_with(b"[")
        && let Ok((id, body)) = serde_json::from_slice::<(String, &RawValue)>(&bytes)
        && body.get().starts_with('{')
    {
        let mut message = Message::new(bytes.slice_ref(body.get().as_bytes()));
        if !bytes.ends_with(UNTYPED) {
            message = message.content_type(JSON);
        }
        return (Some(MessageId::Text(id.into())), message);
    }
    (None, Message::new(bytes))
}

/// The JSON array `[id, payload]`.
fn pair(id: &str, payload: &[u8], typed: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(id.len() + payload.len() + 6);
    bytes.extend_from_slice(b"[\"");
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(b"\",");
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(if typed { b"]" } else { UNTYPED });
    bytes
}

fn is_json_alone(message: &Message) -> bool {
    message.media_type().is_none_or(|media_type| media_type == JSON)
        && message.message_key().is_none()
        && message.message_id().is_none()
        && message.message_kind().is_none()
        && message.headers().is_empty()
        && is_object(message.payload())
}

fn is_object(payload: &[u8]) -> bool {
    // Blanks around the object would be lost on the way.
    payload.starts_with(b"{")
        && payload.ends_with(b"}")
        // Within a string the parser takes any byte, and whoever reads the pair does not.
        && std::str::from_utf8(payload).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn refuse_metadata(message: &Message, format: &str) -> Result<()> {
    let has = [
        (message.message_key().is_some(), "a key"),
        (message.message_id().is_some(), "an id of its own"),
        (message.message_kind().is_some(), "a kind"),
        (!message.headers().is_empty(), "headers"),
    ];
    match has.into_iter().find(|(there, _)| *there) {
        None => Ok(()),
        Some((_, what)) => Err(Error::new(
            ErrorKind::InvalidMessage,
            format!(
                "the message has {what}, which the format `{format}` can't carry; set `format = \"native\"`"
            ),
        )),
    }
}

fn envelope(id: &str, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.size() + id.len() + 64);
    bytes.extend_from_slice(MAGIC);
    field(&mut bytes, ID, &[id.as_bytes()]);
    if let Some(key) = message.message_key() {
        field(&mut bytes, KEY, &[key]);
    }
    for (tag, text) in [
        (MESSAGE_ID, message.message_id()),
        (KIND, message.message_kind()),
        (CONTENT_TYPE, message.media_type()),
    ] {
        if let Some(text) = text {
            field(&mut bytes, tag, &[text.as_bytes()]);
        }
    }
    for (name, value) in message.headers().iter() {
        // Names are at most 64 KiB, which publishing checks.
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
        field(&mut bytes, HEADER, &[&length, name.as_bytes(), value]);
    }
    bytes.push(PAYLOAD);
    bytes.extend_from_slice(message.payload());
    bytes
}

fn field(bytes: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
}

/// Takes an envelope apart; `None` where it is none. Tags of later versions are passed over.
fn open(bytes: &Bytes) -> Option<(Option<MessageId>, Message)> {
    let mut rest = bytes.slice(MAGIC.len()..);
    let mut id = None;
    let mut fields = Vec::new();
    let payload = loop {
        let tag = *rest.first()?;
        let after = rest.slice(1..);
        if tag == PAYLOAD {
            break after;
        }
        let (value, next) = counted(&after)?;
        match tag {
            ID => id = Some(MessageId::Text(Arc::from(std::str::from_utf8(&value).ok()?))),
            _ => fields.push((tag, value)),
        }
        rest = next;
    };
    let mut message = Message::new(payload);
    for (tag, value) in fields {
        let text = || String::from_utf8(value.to_vec()).ok();
        message = match tag {
            KEY => message.key(value),
            MESSAGE_ID => message.id(text()?),
            KIND => message.kind(text()?),
            CONTENT_TYPE => message.content_type(text()?),
            HEADER => {
                let (name, value) = counted(&value)?;
                message.header(String::from_utf8(name.to_vec()).ok()?, value)
            }
            _ => message,
        };
    }
    Some((id, message))
}

/// A length of four bytes, that many bytes, and the rest.
fn counted(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
    let end = usize::try_from(length).ok()?.checked_add(4)?;
    (end <= bytes.len()).then(|| (bytes.slice(4..end), bytes.slice(end..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(format: WireFormat, message: &Message) -> Message {
        let (id, bytes) = Codec::new(format).encode(message).unwrap();
        let (read, message) = decode(bytes);
        assert_eq!(read, Some(id));
        message
    }

    #[test]
    fn json_alone_is_what_protean_writes() {
        let message = Message::json(&serde_json::json!({"id": 7})).unwrap();
        let (id, bytes) = Codec::new(WireFormat::Native).encode(&message).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            format!("[\"{id}\",{{\"id\":7}}]")
        );
        assert_eq!(round(WireFormat::Native, &message), message);
        let untyped = Message::text(r#"{"id":7}"#);
        let (id, bytes) = Codec::new(WireFormat::Native).encode(&untyped).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            format!("[\"{id}\",{{\"id\":7}} ]")
        );
        assert_eq!(round(WireFormat::Native, &untyped), untyped);
        let theirs = br#"["0b51", {"data": {"id": 7}}]"#;
        let (id, message) = decode(theirs.to_vec());
        assert_eq!(id.unwrap().to_string(), "0b51");
        assert_eq!(message.payload().as_ref(), br#"{"data": {"id": 7}}"#);
    }

    #[test]
    fn an_object_that_is_no_text_comes_back_all_the_same() {
        let message = Message::new(b"{\"name\":\"\xff\"}".to_vec()).content_type(JSON);
        assert_eq!(round(WireFormat::Native, &message), message);
    }

    #[test]
    fn what_a_format_can_not_carry_is_refused() {
        let keyed = Message::new("{}").key("k");
        for format in [WireFormat::Protean, WireFormat::Plain] {
            let error = Codec::new(format).encode(&keyed).unwrap_err();
            assert!(error.to_string().contains("has a key"), "{error}");
        }
        let text = Codec::new(WireFormat::Protean).encode(&Message::text("x"));
        assert!(text.unwrap_err().to_string().contains("JSON objects only"));
    }

    proptest! {
        #[test]
        fn every_message_comes_back(
            payload: Vec<u8>, key: Option<Vec<u8>>, kind: Option<String>, id: Option<String>, media: Option<String>,
            headers in proptest::collection::vec(("[a-zA-Z:/ \u{e9}]{1,9}", any::<Vec<u8>>()), 0..4),
        ) {
            let mut message = Message::new(payload);
            if let Some(key) = key { message = message.key(key); }
            if let Some(kind) = kind { message = message.kind(kind); }
            if let Some(id) = id { message = message.id(id); }
            if let Some(media) = media { message = message.content_type(media); }
            for (name, value) in headers { message = message.header(name, value); }
            prop_assert_eq!(round(WireFormat::Native, &message), message);
        }

        #[test]
        fn foreign_bytes_are_a_payload_and_never_a_panic(bytes: Vec<u8>, cut in 0_usize..80) {
            let (_, message) = decode(bytes.clone());
            if !bytes.starts_with(MAGIC) && !bytes.starts_with(b"[") {
                prop_assert_eq!(message.payload().as_ref(), bytes.as_slice());
            }
            let whole = envelope("m-1", &Message::new(bytes).key("key").header("a", "b"));
            let part = whole.get(..cut.min(whole.len())).unwrap().to_vec();
            decode(part);
        }
    }
}
