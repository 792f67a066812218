//! What is published and handled.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, ErrorKind, Headers, Result};

/// The most bytes of a key, an id, a kind or a content type, as of all headers together.
const MAX_META: usize = 64 * 1024;

/// The content type that [`Message::json`] sets.
const JSON: &str = "application/json";

/// Payload bytes with an optional key and metadata.
///
/// The payload is [`Bytes`] end to end: cloning a message copies no payload. What few messages have (headers, id,
/// kind, content type, delay) is behind one pointer, so that a plain message stays small on its way.
///
/// ```
/// use broker_core::Message;
///
/// let message = Message::text("hello").key("customer-3").header("traceparent", "00-4bf9-00f0-01");
/// assert_eq!(message.payload().as_ref(), b"hello");
/// assert_eq!(message.headers().get_str("traceparent").unwrap(), Some("00-4bf9-00f0-01"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    payload: Bytes,
    key: Option<Bytes>,
    meta: Option<Box<Meta>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Meta {
    headers: Headers,
    id: Option<Cow<'static, str>>,
    kind: Option<Cow<'static, str>>,
    content_type: Option<Cow<'static, str>>,
    delay: Option<Duration>,
}

impl Meta {
    fn validate(&self) -> Result<()> {
        for (what, text) in [
            ("id", &self.id),
            ("kind", &self.kind),
            ("content type", &self.content_type),
        ] {
            if let Some(text) = text.as_deref().filter(|text| text.len() > MAX_META) {
                return Err(too_long(what, text.len()));
            }
        }
        self.headers.validate()
    }
}

fn too_long(what: &str, len: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the {what} has {len} bytes; at most {MAX_META} are allowed, put more into the payload"),
    )
}

static NO_HEADERS: Headers = Headers::new();

impl Message {
    /// A message of these bytes; zero bytes are a message too.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            key: None,
            meta: None,
        }
    }

    /// What stands in for a message whose store has lost it, which no adapter should do.
    pub(crate) const fn missing() -> Self {
        Self {
            payload: Bytes::new(),
            key: None,
            meta: None,
        }
    }

    /// A message of this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into())
    }

    /// A message of `value` as JSON, with its content type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where `value` can't be written as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let payload = serde_json::to_vec(value).map_err(|error| {
            Error::new(ErrorKind::InvalidMessage, "the value can't be written as JSON").source(error)
        })?;
        Ok(Self::new(payload).content_type(JSON))
    }

    /// Sets the key: it decides the partition, and messages of one key keep their order.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets one header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    /// Sets the application's own id, which deduplication and idempotent publishing go by.
    #[must_use]
    pub fn id(mut self, id: impl Into<Cow<'static, str>>) -> Self {
        self.meta_mut().id = Some(id.into());
        self
    }

    /// Sets the message's kind, which handlers are chosen by, such as `user.registered`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.meta_mut().kind = Some(kind.into());
        self
    }

    /// Sets the payload's media type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.meta_mut().content_type = Some(content_type.into());
        self
    }

    /// Makes the message visible to readers only after `delay`, on a broker with `DELAYED_DELIVERY`.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.meta_mut().delay = Some(delay);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload read from JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where the payload is not the JSON of a `T`.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T> {
        // Looking at the whole as text once is cheaper than at each string in it.
        let read = match std::str::from_utf8(&self.payload) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(&self.payload),
        };
        read.map_err(|error| {
            Error::new(ErrorKind::InvalidMessage, "the payload is not the expected JSON").source(error)
        })
    }

    /// The key.
    #[must_use]
    pub fn message_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        self.meta.as_ref().map_or(&NO_HEADERS, |meta| &meta.headers)
    }

    /// The headers, to change.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.meta_mut().headers
    }

    /// The application's own id.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.meta.as_ref()?.id.as_deref()
    }

    /// The message's kind.
    #[must_use]
    pub fn message_kind(&self) -> Option<&str> {
        self.meta.as_ref()?.kind.as_deref()
    }

    /// The payload's media type.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.meta.as_ref()?.content_type.as_deref()
    }

    /// How long the message stays invisible after it was published.
    #[must_use]
    pub fn delivery_delay(&self) -> Option<Duration> {
        self.meta.as_ref()?.delay
    }

    /// Whether there is nothing but payload and key, which is what a hot path checks first.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.meta.is_none()
    }

    /// Whether there is nothing but the payload.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.key.is_none() && self.meta.is_none()
    }

    /// The bytes of payload, key and headers, as bounds count them.
    #[must_use]
    pub fn size(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers()
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.payload.len() + key + headers
    }

    /// Checks headers and sizes against the rules for publishing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] over `max_payload` bytes of payload, and what [`Headers::validate`] answers.
    pub fn validate(&self, max_payload: usize) -> Result<()> {
        if self.payload.len() > max_payload {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the payload has {} bytes; at most {max_payload} are allowed (max_payload)",
                    self.payload.len()
                ),
            )
            .with("size", self.payload.len())
            .with("max", max_payload));
        }
        if self.key.as_ref().is_some_and(|key| key.len() > MAX_META) {
            return Err(too_long("key", self.key.as_ref().map_or(0, Bytes::len)));
        }
        match &self.meta {
            Some(meta) => meta.validate(),
            None => Ok(()),
        }
    }

    fn meta_mut(&mut self) -> &mut Meta {
        self.meta.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_message_stays_small() {
        assert!(std::mem::size_of::<Message>() <= 72);
        assert!(Message::new("x").key("k").is_plain());
    }

    #[test]
    fn oversize_names_the_limit_and_the_setting() {
        let error = Message::new(vec![0; 11]).validate(10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(
            error.to_string(),
            "too large: the payload has 11 bytes; at most 10 are allowed (max_payload) (size=11, max=10)"
        );
    }

    #[test]
    fn json_round_trips() {
        let message = Message::json(&[1, 2, 3]).unwrap();
        assert_eq!(message.media_type(), Some("application/json"));
        assert_eq!(message.to_json::<Vec<i32>>().unwrap(), [1, 2, 3]);
        assert!(
            message
                .to_json::<String>()
                .unwrap_err()
                .to_string()
                .starts_with("invalid message: ")
        );
    }
}
