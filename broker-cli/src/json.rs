//! The shapes that JSON output promises.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::broker::Delivery;
use broker_core::{DeadLetter, Message};
use serde_json::{Map, Value, json};

/// A duration as a number of milliseconds, for names that end in `_ms`.
pub(crate) fn milliseconds(duration: Duration) -> Value {
    // To the microsecond: more digits are noise of the conversion.
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros % 1000 == 0 {
        (micros / 1000).into()
    } else {
        json!(micros as f64 / 1000.0)
    }
}

/// A time as RFC 3339.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A delivery: where it came from, and its message.
pub(crate) fn delivery(delivery: &Delivery) -> Value {
    let mut object = Map::new();
    object.insert("stream".to_owned(), delivery.stream().as_str().into());
    object.insert("id".to_owned(), delivery.id().to_string().into());
    object.insert("attempt".to_owned(), delivery.attempt().into());
    object.insert("stored_at".to_owned(), delivery.stored_at().map(time).into());
    message(&mut object, delivery.message());
    object.into()
}

/// A dead letter: its message, and the story of its failure.
pub(crate) fn dead_letter(letter: &DeadLetter) -> Value {
    let mut object = Map::new();
    object.insert("stream".to_owned(), letter.stream.as_str().into());
    object.insert("group".to_owned(), letter.group.as_str().into());
    object.insert("id".to_owned(), letter.id.to_string().into());
    object.insert("original_id".to_owned(), letter.original_id.to_string().into());
    object.insert("partition".to_owned(), letter.partition.into());
    object.insert("reason".to_owned(), letter.failure.reason.as_str().into());
    object.insert("causes".to_owned(), letter.failure.chain.clone().into());
    object.insert("attempts".to_owned(), letter.attempts.into());
    object.insert("first_failed".to_owned(), time(letter.first_failed).into());
    object.insert("last_failed".to_owned(), time(letter.last_failed).into());
    object.insert("consumer".to_owned(), letter.consumer.as_str().into());
    message(&mut object, &letter.message);
    object.into()
}

fn message(object: &mut Map<String, Value>, message: &Message) {
    match message.message_key() {
        Some(key) => bytes(object, "key", key),
        None => _ = object.insert("key".to_owned(), Value::Null),
    }
    object.insert("kind".to_owned(), message.message_kind().into());
    object.insert("content_type".to_owned(), message.media_type().into());
    object.insert("message_id".to_owned(), message.message_id().into());
    let mut headers = Map::new();
    for (name, value) in message.headers().iter() {
        bytes(&mut headers, name, value);
    }
    object.insert("headers".to_owned(), headers.into());
    bytes(object, "payload", message.payload());
}

/// Bytes as text where they are UTF-8, else in base64 under a name that says so.
fn bytes(object: &mut Map<String, Value>, name: &str, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), STANDARD.encode(value).into()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_plain_numbers() {
        assert_eq!(milliseconds(Duration::from_secs(90)).to_string(), "90000");
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)).to_string(), "1.234");
        assert_eq!(milliseconds(Duration::ZERO).to_string(), "0");
    }

    #[test]
    fn what_is_no_text_is_base64_under_another_name() {
        let mut object = Map::new();
        message(
            &mut object,
            &Message::new(vec![0xff])
                .key(vec![0xfe])
                .header("trace", "x")
                .header("raw", vec![0xfd]),
        );
        assert_eq!(
            Value::from(object),
            json!({
                "key_base64": "/g==", "kind": null, "content_type": null, "message_id": null,
                "headers": {"trace": "x", "raw_base64": "/Q=="}, "payload_base64": "/w=="
            })
        );
    }
}
