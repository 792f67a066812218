//! Reading the server's answers by hand: the client library's typed ones copy what they convert.

use broker_core::{Error, Result};
use bytes::Bytes;
use redis::Value;

use crate::error;

/// The value, unless it is the server's refusal.
///
/// # Errors
///
/// The server's refusal, or that the answer has another shape.
pub fn granted(value: Value) -> Result<Value> {
    match value {
        Value::ServerError(refusal) => Err(error::from_server(&refusal)),
        value => Ok(value),
    }
}

/// The items of an array; nothing is an empty one.
///
/// # Errors
///
/// The server's refusal, or that the answer has another shape.
pub fn items(value: Value, command: &'static str) -> Result<Vec<Value>> {
    match granted(value)? {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Map(pairs) => Ok(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        Value::Nil => Ok(Vec::new()),
        _ => Err(error::odd_reply(command)),
    }
}

/// A whole number, also where it comes as text.
#[must_use]
pub fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        value => text(value)?.parse().ok(),
    }
}

/// A count.
#[must_use]
pub fn count(value: &Value) -> Option<u64> {
    number(value).and_then(|number| u64::try_from(number).ok())
}

/// Text.
#[must_use]
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Okay => Some("OK"),
        _ => None,
    }
}

/// Bytes, not copied.
#[must_use]
pub fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        Value::SimpleString(text) => Some(Bytes::from(text)),
        Value::Int(number) => Some(Bytes::from(number.to_string())),
        _ => None,
    }
}

/// The value after the name `field` in a flat list of names and values, or in a map.
#[must_use]
pub fn field<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(name, _)| text(name) == Some(field))
            .map(|(_, value)| value),
        Value::Array(items) => items
            .chunks_exact(2)
            .find(|pair| pair.first().and_then(text) == Some(field))
            .and_then(|pair| pair.get(1)),
        _ => None,
    }
}

/// The number after the name `name`, as in [`field`].
#[must_use]
pub fn count_field(value: &Value, name: &str) -> Option<u64> {
    field(value, name).and_then(count)
}

/// A number that must be there.
///
/// # Errors
///
/// The server's refusal, or that the answer has another shape.
pub fn expect_count(value: Value, command: &'static str) -> Result<u64, Error> {
    let value = granted(value)?;
    count(&value).ok_or_else(|| error::odd_reply(command))
}
