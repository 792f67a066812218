//! Messages to properties and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::{Error, ErrorKind, Message, MessageId, Result};
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::meta::Meta;
use crate::properties::{self, bytes, number, text_of};

/// What our own ids begin with in the property `message-id`, where the application has none of its own.
const OWN_ID: &str = "broker:";

/// The most bytes of properties: they travel in one frame, of 128 KiB by default.
const MAX_PROPERTIES: usize = 120 * 1024;

/// The protocol's own properties that have no place in a message, as headers.
const CORRELATION_ID: &str = "amqp-correlation-id";
const REPLY_TO: &str = "amqp-reply-to";
const PRIORITY: &str = "amqp-priority";
const EXPIRATION: &str = "amqp-expiration";
const APP_ID: &str = "amqp-app-id";
const ENCODING: &str = "amqp-content-encoding";

/// Writes a message.
pub(crate) fn encode(
    message: &Message,
    meta: &Meta,
    persistent: bool,
) -> Result<(BasicProperties, FieldTable)> {
    let mut properties = BasicProperties::default().with_delivery_mode(if persistent { 2 } else { 1 });
    let mut table = FieldTable::default();
    let own = format!("{OWN_ID}{}", meta.id);
    match message.message_id() {
        None => properties = properties.with_message_id(own.into()),
        Some(id) => {
            table.insert("broker-id".into(), bytes(own.as_bytes()));
            match ShortString::try_new(id) {
                Ok(id) if !id.as_str().starts_with(OWN_ID) => properties = properties.with_message_id(id),
                _ => {
                    table.insert("broker-message-id".into(), bytes(id.as_bytes()));
                }
            }
        }
    }
    if let Some(kind) = message.message_kind() {
        match ShortString::try_new(kind) {
            Ok(kind) => properties = properties.with_type(kind),
            Err(_) => {
                table.insert("broker-kind".into(), bytes(kind.as_bytes()));
            }
        }
    }
    if let Some(media_type) = message.media_type() {
        match ShortString::try_new(media_type) {
            Ok(media_type) => properties = properties.with_content_type(media_type),
            Err(_) => {
                table.insert("broker-type".into(), bytes(media_type.as_bytes()));
            }
        }
    }
    if let Some(key) = message.message_key() {
        table.insert("broker-key".into(), bytes(key));
    }
    if meta.attempts > 0 {
        table.insert(
            "broker-attempts".into(),
            AMQPValue::LongLongInt(i64::from(meta.attempts)),
        );
    }
    if meta.copy > 0 {
        table.insert("broker-copy".into(), AMQPValue::LongLongInt(i64::from(meta.copy)));
    }
    if let Some(first) = meta.first_failed.and_then(|first| i64::try_from(first).ok()) {
        table.insert("broker-first-failed".into(), AMQPValue::LongLongInt(first));
    }
    properties = of_protocol(message, properties)?;
    properties::write(message.headers(), &mut table)?;
    check(message)?;
    Ok((properties, table))
}

/// Puts the table to the properties, if there is anything in it.
pub(crate) fn finish(properties: BasicProperties, table: FieldTable) -> BasicProperties {
    if table.inner().is_empty() {
        return properties;
    }
    properties.with_headers(table)
}

/// What is set by header is a property as well, so that the server and other programs go by it.
fn of_protocol(message: &Message, mut properties: BasicProperties) -> Result<BasicProperties> {
    if message.headers().is_empty() {
        return Ok(properties);
    }
    let refuse = |name: &str, expected: &str| {
        Error::new(
            ErrorKind::InvalidMessage,
            format!("header `{name}` is no property; {expected} is expected"),
        )
    };
    let text = |name: &'static str| -> Result<Option<ShortString>> {
        let Some(value) = message.headers().get(name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value)
            .ok()
            .and_then(|text| ShortString::try_new(text).ok());
        text.map(Some)
            .ok_or_else(|| refuse(name, "text of at most 255 bytes"))
    };
    if let Some(value) = text(CORRELATION_ID)? {
        properties = properties.with_correlation_id(value);
    }
    if let Some(value) = text(REPLY_TO)? {
        properties = properties.with_reply_to(value);
    }
    if let Some(value) = text(APP_ID)? {
        properties = properties.with_app_id(value);
    }
    if let Some(value) = text(ENCODING)? {
        properties = properties.with_content_encoding(value);
    }
    if let Some(value) = text(PRIORITY)? {
        let priority = value
            .as_str()
            .parse()
            .map_err(|_| refuse(PRIORITY, "a number from 0 to 255"))?;
        properties = properties.with_priority(priority);
    }
    if let Some(value) = text(EXPIRATION)? {
        if value.as_str().parse::<u32>().is_err() {
            return Err(refuse(EXPIRATION, "a number of milliseconds"));
        }
        properties = properties.with_expiration(value);
    }
    Ok(properties)
}

fn check(message: &Message) -> Result<()> {
    let texts = [message.message_id(), message.message_kind(), message.media_type()];
    let texts: usize = texts.into_iter().flatten().map(str::len).sum();
    let entries = message.headers().len() * 24;
    let size = message.size() - message.payload().len() + texts + entries;
    if size > MAX_PROPERTIES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "key, headers and the like have {size} bytes; they travel in one frame of at most {MAX_PROPERTIES}, put more into the payload"
            ),
        ));
    }
    Ok(())
}

/// What was read.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) message: Message,
    pub(crate) meta: Meta,
    /// How often the server says it was handed out before, since it was written.
    pub(crate) count: u32,
    /// When it was written, as far as it is told.
    pub(crate) stored_at: Option<SystemTime>,
}

/// Reads a message, whoever wrote it.
pub(crate) fn decode(payload: Vec<u8>, properties: &BasicProperties) -> Content {
    let empty = FieldTable::default();
    let table = properties.headers().as_ref().unwrap_or(&empty);
    let field = |name: &str| table.inner().get(name);
    let text = |name: &str| field(name).and_then(text_of);
    let whole = |name: &str| field(name).and_then(number);
    let mut message = Message::new(payload);
    let property = properties.message_id().as_ref().map(ShortString::as_str);
    let own = property.and_then(own_id);
    let id = match (own, text("broker-id").and_then(own_id)) {
        (Some(id), _) => id,
        (None, Some(id)) => {
            if let Some(app) = text("broker-message-id").or(property) {
                message = message.id(app.to_owned());
            }
            id
        }
        (None, None) => foreign_id(property, message.payload()),
    };
    if property.is_some() && field("broker-id").is_none() && property.and_then(own_id).is_none() {
        message = message.id(property.unwrap_or_default().to_owned());
    }
    let kind = properties.kind().as_ref().map(ShortString::as_str);
    if let Some(kind) = text("broker-kind").or(kind) {
        message = message.kind(kind.to_owned());
    }
    let media_type = properties.content_type().as_ref().map(ShortString::as_str);
    if let Some(media_type) = text("broker-type").or(media_type) {
        message = message.content_type(media_type.to_owned());
    }
    if let Some(key) = field("broker-key") {
        message = message.key(properties::to_bytes(key));
    }
    if properties.headers().is_some() {
        let mut headers = broker_core::Headers::new();
        properties::read(table, &mut headers);
        if !headers.is_empty() {
            *message.headers_mut() = headers;
        }
    }
    of_others(&mut message, properties);
    Content {
        message,
        meta: Meta {
            id,
            attempts: whole("broker-attempts")
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
            first_failed: whole("broker-first-failed").and_then(|ms| u64::try_from(ms).ok()),
            copy: whole("broker-copy")
                .and_then(|copy| u32::try_from(copy).ok())
                .unwrap_or(0),
        },
        count: whole("x-delivery-count")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        stored_at: properties
            .timestamp()
            .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
    }
}

/// Properties that another program set are headers here.
fn of_others(message: &mut Message, properties: &BasicProperties) {
    let texts = [
        (CORRELATION_ID, properties.correlation_id()),
        (REPLY_TO, properties.reply_to()),
        (EXPIRATION, properties.expiration()),
        (APP_ID, properties.app_id()),
        (ENCODING, properties.content_encoding()),
    ];
    for (name, value) in texts {
        if let Some(value) = value
            && message.headers().get(name).is_none()
        {
            message.headers_mut().insert(name, value.to_string());
        }
    }
    if let Some(priority) = properties.priority()
        && message.headers().get(PRIORITY).is_none()
    {
        message.headers_mut().insert(PRIORITY, priority.to_string());
    }
}

fn own_id(text: &str) -> Option<MessageId> {
    text.strip_prefix(OWN_ID)?.parse().ok()
}

/// The id of another program's message: its own where it has one, and else one of its bytes, which stays the same.
fn foreign_id(property: Option<&str>, payload: &Bytes) -> MessageId {
    match property.filter(|id| !id.is_empty()) {
        Some(id) => MessageId::Text(id.into()),
        None => {
            // FNV-1a, 64 bits.
            let hash = payload.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            MessageId::Text(format!("content:{hash:016x}").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(message: &Message, meta: &Meta) -> Content {
        let (properties, table) = encode(message, meta, true).unwrap();
        decode(message.payload().to_vec(), &finish(properties, table))
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let plain = Message::new(vec![0, 255]);
        let long = "x".repeat(300);
        let full = Message::text("x")
            .key(vec![1, 0])
            .id("order-7")
            .kind("order.placed")
            .content_type("text/plain")
            .header("b", "1")
            .header("a", vec![200]);
        let odd = Message::text("")
            .id("broker:1-2")
            .kind(long.clone())
            .content_type(long);
        for message in [plain, full, odd] {
            let meta = Meta {
                id: MessageId::Entry { ms: 7, seq: 8 },
                attempts: 3,
                first_failed: Some(9),
                copy: 4,
            };
            let back = there_and_back(&message, &meta);
            assert_eq!(back.message, message);
            assert_eq!(back.meta, meta);
        }
    }

    #[test]
    fn a_plain_message_needs_no_table() {
        let (_, table) = encode(
            &Message::text("x"),
            &Meta::new(MessageId::Entry { ms: 1, seq: 2 }),
            true,
        )
        .unwrap();
        assert!(table.inner().is_empty());
    }

    #[test]
    fn another_programs_properties_are_headers_and_its_id_is_kept() {
        let properties = BasicProperties::default()
            .with_message_id("theirs".into())
            .with_correlation_id("c".into())
            .with_priority(4);
        let content = decode(b"x".to_vec(), &properties);
        assert_eq!(content.meta.id, MessageId::Text("theirs".into()));
        assert_eq!(content.message.message_id(), Some("theirs"));
        assert_eq!(
            content.message.headers().get_str("amqp-correlation-id").unwrap(),
            Some("c")
        );
        assert_eq!(
            content.message.headers().get_str("amqp-priority").unwrap(),
            Some("4")
        );
    }
}
