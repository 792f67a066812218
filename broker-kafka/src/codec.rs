//! From a message to a record and back; `docs/wire-formats.md` is the prose of this file.

use broker_core::{Error, ErrorKind, Message, Result};
use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};

/// The application's own id.
const ID: &str = "broker-id";
/// The message's kind.
const KIND: &str = "broker-kind";
/// The payload's media type.
const TYPE: &str = "broker-type";
/// The only group that a record is for.
pub(crate) const FOR: &str = "broker-for";
/// The header that names the dead letter a message was replayed from.
pub(crate) const REPLAYED_FROM: &str = "replayed-from";
/// Tells that a record has no value, where other programs write a tombstone.
const NULL: &str = "null-value";

/// Whether a record can carry `message`.
///
/// # Errors
///
/// [`ErrorKind::InvalidMessage`] for a header's name with a zero byte, where Kafka's own clients end a name.
pub(crate) fn check(message: &Message) -> Result<()> {
    if message.is_plain() {
        return Ok(());
    }
    for (name, _) in message.headers().iter() {
        if name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidMessage,
                format!(
                    "header `{}` has a zero byte in its name; rename it",
                    name.escape_default()
                ),
            ));
        }
    }
    Ok(())
}

/// The record's headers, where it has any.
pub(crate) fn headers(message: &Message) -> Option<OwnedHeaders> {
    if message.is_plain() {
        return None;
    }
    let own = [
        (ID, message.message_id()),
        (KIND, message.message_kind()),
        (TYPE, message.media_type()),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?.as_bytes())));
    let users = message.headers().iter().map(|(key, value)| (key, value.as_ref()));
    Some(with(
        OwnedHeaders::new_with_capacity(message.headers().len() + 3),
        own.chain(users),
    ))
}

/// Appends headers.
pub(crate) fn with<'a>(
    headers: OwnedHeaders,
    more: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> OwnedHeaders {
    more.fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

/// A record's headers by name, for those that the framework writes.
#[derive(Default)]
pub(crate) struct Framework {
    /// The only group it is for, if it is not for all.
    pub(crate) only_for: Option<Vec<u8>>,
}

/// Puts a record's headers onto the message; answers what the framework itself wrote.
pub(crate) fn decode<'a>(
    mut message: Message,
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    mut other: impl FnMut(&str, &[u8]) -> bool,
) -> (Message, Framework) {
    let mut framework = Framework::default();
    for (name, value) in headers {
        let value = value.unwrap_or_default();
        let text = || String::from_utf8(value.to_vec()).ok();
        message = match name {
            ID => match text() {
                Some(id) => message.id(id),
                None => message,
            },
            KIND => match text() {
                Some(kind) => message.kind(kind),
                None => message,
            },
            TYPE => match text() {
                Some(media_type) => message.content_type(media_type),
                None => message,
            },
            FOR => {
                framework.only_for = Some(value.to_vec());
                message
            }
            name if other(name, value) => message,
            name => message.header(name.to_owned(), Bytes::copy_from_slice(value)),
        };
    }
    (message, framework)
}

/// The headers of a record as pairs. A name that is not UTF-8 makes the client library panic: such headers are left
/// out, and their loss is told.
pub(crate) fn pairs<H: rdkafka::message::Headers>(headers: &H) -> Vec<(&str, Option<&[u8]>)> {
    let read = std::panic::AssertUnwindSafe(|index| headers.try_get(index));
    (0..headers.count())
        .filter_map(|index| {
            let header = std::panic::catch_unwind(|| (*read)(index));
            match header {
                Ok(header) => header.map(|header| (header.key, header.value)),
                Err(_) => {
                    tracing::warn!("a record's header has a name that is not UTF-8; the header is left out");
                    None
                }
            }
        })
        .collect()
}

/// Marks a message whose record has no value at all.
pub(crate) fn mark_null(message: Message) -> Message {
    message.header(NULL, Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_message_survives_the_wire(
            payload: Vec<u8>, id: Option<String>, kind: Option<String>, media_type: Option<String>,
            names in proptest::collection::btree_map("[^\\x00]{1,20}", any::<Vec<u8>>(), 0..5),
        ) {
            let mut message = Message::new(payload.clone());
            if let Some(id) = id { message = message.id(id); }
            if let Some(kind) = kind { message = message.kind(kind); }
            if let Some(media_type) = media_type { message = message.content_type(media_type); }
            for (name, value) in names {
                prop_assume!(!name.starts_with("broker-"));
                message = message.header(name, value);
            }
            let written = headers(&message);
            let read = written.as_ref().map(pairs).unwrap_or_default();
            let (back, _) = decode(Message::new(payload), read.into_iter(), |_, _| false);
            prop_assert_eq!(back, message);
        }
    }

    #[test]
    fn a_zero_byte_in_a_name_is_refused_before_anything_is_sent() {
        assert!(check(&Message::text("x").header("a\0b", "1")).is_err());
        assert!(check(&Message::text("x").header("a", "1\0")).is_ok());
    }
}
