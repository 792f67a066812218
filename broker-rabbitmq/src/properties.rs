//! Headers as the protocol has them: a table of typed values by name.

use broker_core::{Error, ErrorKind, Headers, Result};
use bytes::Bytes;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// What names that mean something to the server are written behind: `CC` would send copies to other queues.
const ESCAPED: &str = "broker-h-";

/// The prefix of the framework's own names.
const RESERVED: &str = "broker-";

/// The order of the headers, where it is not that of their names.
const ORDER: &str = "broker-order";

/// What the server itself adds to messages on their way.
const OF_SERVER: [&str; 6] = [
    "x-acquired-count",
    "x-death",
    "x-delivery-count",
    "x-stream-filter-value",
    "x-stream-offset",
    "x-opt-delivery-time",
];

fn is_of_server(name: &str) -> bool {
    OF_SERVER.contains(&name) || name.starts_with("x-first-death-") || name.starts_with("x-last-death-")
}

/// Bytes as a table's value.
pub(crate) fn bytes(value: &[u8]) -> AMQPValue {
    AMQPValue::LongString(value.to_vec().into())
}

/// Writes a message's headers into a table.
pub(crate) fn write(headers: &Headers, table: &mut FieldTable) -> Result<()> {
    let mut names = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let special = is_of_server(name) || matches!(name, "CC" | "BCC") || name.starts_with(RESERVED);
        let name = if special {
            format!("{ESCAPED}{name}")
        } else {
            name.to_owned()
        };
        let name = ShortString::try_new(name).map_err(|_| {
            let line = "a header's name is longer than the protocol allows (255 bytes); shorten it";
            Error::new(ErrorKind::InvalidMessage, line)
        })?;
        names.push(name.clone());
        table.insert(name, bytes(value));
    }
    if !names.is_sorted() {
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort();
        let places = names
            .iter()
            .map(|name| sorted.binary_search(&name).unwrap_or(0).to_string());
        table.insert(
            ORDER.into(),
            bytes(places.collect::<Vec<_>>().join(",").as_bytes()),
        );
    }
    Ok(())
}

/// Reads a message's headers from a table, without the framework's and the server's own.
pub(crate) fn read(table: &FieldTable, headers: &mut Headers) {
    let named = table.inner().iter().filter_map(|(name, value)| {
        let name = name.as_str();
        match name.strip_prefix(ESCAPED) {
            Some(name) => Some((name, value)),
            None if name.starts_with(RESERVED) || is_of_server(name) => None,
            None => Some((name, value)),
        }
    });
    let named: Vec<_> = named.collect();
    let place = |place: &str| named.get(place.parse::<usize>().ok()?);
    let order = table.inner().get(ORDER).and_then(text_of);
    let order: Option<Vec<_>> = order.and_then(|order| order.split(',').map(place).collect());
    match order.filter(|order| order.len() == named.len()) {
        Some(order) => order
            .into_iter()
            .for_each(|(name, value)| insert(headers, name, value)),
        None => named
            .iter()
            .for_each(|(name, value)| insert(headers, name, value)),
    }
}

fn insert(headers: &mut Headers, name: &str, value: &AMQPValue) {
    headers.insert(name.to_owned(), to_bytes(value));
}

/// A value as bytes: text as it is, numbers in decimal, anything nested as JSON.
pub(crate) fn to_bytes(value: &AMQPValue) -> Bytes {
    let text = match value {
        AMQPValue::LongString(text) => return Bytes::copy_from_slice(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => return Bytes::copy_from_slice(bytes.as_slice()),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Void => String::new(),
        value => match number(value) {
            Some(number) => number.to_string(),
            None => serde_json::to_string(value).unwrap_or_default(),
        },
    };
    Bytes::from(text)
}

/// A whole number, of whatever width.
pub(crate) fn number(value: &AMQPValue) -> Option<i128> {
    Some(match value {
        AMQPValue::ShortShortInt(number) => i128::from(*number),
        AMQPValue::ShortShortUInt(number) => i128::from(*number),
        AMQPValue::ShortInt(number) => i128::from(*number),
        AMQPValue::ShortUInt(number) => i128::from(*number),
        AMQPValue::LongInt(number) => i128::from(*number),
        AMQPValue::LongUInt(number) => i128::from(*number),
        AMQPValue::LongLongInt(number) => i128::from(*number),
        AMQPValue::Timestamp(number) => i128::from(*number),
        _ => return None,
    })
}

/// A table's text.
pub(crate) fn text_of(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_in_their_order() {
        let mut headers = Headers::new();
        for name in ["z", "CC", "a", "x-death", "", "ü/../x"] {
            headers.insert(name, vec![0, 255]);
        }
        let (mut table, mut back) = (FieldTable::default(), Headers::new());
        write(&headers, &mut table).unwrap();
        assert!(!table.contains_key("CC"));
        read(&table, &mut back);
        assert_eq!(back, headers);
    }

    #[test]
    fn what_others_write_is_read_and_what_the_server_adds_is_not() {
        let mut table = FieldTable::default();
        table.insert("tries".into(), AMQPValue::LongInt(7));
        table.insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
        let mut headers = Headers::new();
        read(&table, &mut headers);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("tries", &Bytes::from("7"))]);
    }
}
