//! Metadata beside the payload.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::{Error, ErrorKind};

/// Prefix of the names that the framework itself writes on the wire; a user's header may not start with it.
pub(crate) const RESERVED_PREFIX: &str = "broker-";

/// The most bytes that all names and values of one message may have together.
const MAX_BYTES: usize = 64 * 1024;

/// Named values beside the payload, in the order they were set.
///
/// Names are case-sensitive UTF-8; values are bytes. Setting a name again replaces its value in place.
///
/// ```
/// use broker::Headers;
///
/// let mut headers: Headers = [("tenant", "acme"), ("hop", "1")].into_iter().collect();
/// assert_eq!(headers.insert("hop", "2").as_deref(), Some(b"1".as_slice()));
/// assert_eq!(headers.get_str("tenant")?, Some("acme"));
/// assert_eq!(headers.get("shop"), None);
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets `name`, and hands back the value it replaces.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Option<Bytes> {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The value of `name` as text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where the value is not UTF-8.
    pub fn get_str(&self, name: &str) -> Result<Option<&str>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        std::str::from_utf8(value).map(Some).map_err(|error| {
            Error::new(
                ErrorKind::InvalidMessage,
                format!(
                    "header `{name}` is not UTF-8 from byte {}; read it as bytes",
                    error.valid_up_to()
                ),
            )
        })
    }

    /// Removes `name`, and hands back its value.
    pub fn remove(&mut self, name: &str) -> Option<Bytes> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Names and values in the order they were set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks names and total size against the rules for publishing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] for an empty or reserved name, [`ErrorKind::TooLarge`] over 64 KiB in all.
    pub fn validate(&self) -> Result<(), Error> {
        let mut bytes = 0;
        for (name, value) in &self.0 {
            if name.is_empty() {
                return Err(Error::new(
                    ErrorKind::InvalidMessage,
                    "a header has an empty name; name it",
                ));
            }
            if name.starts_with(RESERVED_PREFIX) {
                return Err(Error::new(
                    ErrorKind::InvalidMessage,
                    format!(
                        "header `{name}` starts with `{RESERVED_PREFIX}`, which is reserved; choose another name"
                    ),
                ));
            }
            bytes += name.len() + value.len();
        }
        if bytes > MAX_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the headers have {bytes} bytes; at most {MAX_BYTES} are allowed, put more into the payload"
                ),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.insert(name, value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_replaces_in_place() {
        let mut headers: Headers = [("a", "1"), ("b", "2")].into_iter().collect();
        assert_eq!(headers.insert("a", "3"), Some(Bytes::from("1")));
        let all: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name, value.as_ref()))
            .collect();
        assert_eq!(all, [("a", b"3".as_slice()), ("b", b"2")]);
    }

    #[test]
    fn bad_utf8_is_one_clear_line_and_still_readable_as_bytes() {
        let headers: Headers = [("raw", Bytes::from_static(b"ok\xff"))].into_iter().collect();
        assert_eq!(
            headers.get_str("raw").unwrap_err().to_string(),
            "invalid message: header `raw` is not UTF-8 from byte 2; read it as bytes"
        );
        assert_eq!(headers.get("raw").unwrap().as_ref(), b"ok\xff");
    }

    #[test]
    fn reserved_and_empty_names_are_refused() {
        let with = |name: &'static str| [(name, "")].into_iter().collect::<Headers>().validate();
        assert_eq!(with("broker-id").unwrap_err().kind(), ErrorKind::InvalidMessage);
        assert_eq!(with("").unwrap_err().kind(), ErrorKind::InvalidMessage);
        assert!(with("traceparent").is_ok());
    }
}
