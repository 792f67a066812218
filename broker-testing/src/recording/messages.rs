//! Recorded messages, to be looked at.

use std::ops::Deref;

use serde::de::DeserializeOwned;

use super::tape::Recorded;
use crate::unmet::unmet;

/// Recorded messages, in the order in which they were stored.
#[derive(Clone, Debug)]
pub struct RecordedMessages {
    pub(super) place: String,
    pub(super) messages: Vec<Recorded>,
}

impl RecordedMessages {
    pub(crate) fn on(stream: &str, all: Vec<Recorded>) -> Self {
        let mut messages = all;
        messages.retain(|one| one.stream.as_str() == stream);
        Self {
            place: stream.to_owned(),
            messages,
        }
    }

    /// Those of one kind.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Self {
        let mut messages = self.messages.clone();
        messages.retain(|one| one.message.message_kind() == Some(kind));
        Self {
            place: format!("{} of kind `{kind}`", self.place),
            messages,
        }
    }

    /// Those with this key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        let mut messages = self.messages.clone();
        messages.retain(|one| {
            one.message
                .message_key()
                .is_some_and(|bytes| bytes == key.as_bytes())
        });
        Self {
            place: format!("{} with key `{key}`", self.place),
            messages,
        }
    }

    /// The payloads, read as JSON.
    ///
    /// # Panics
    ///
    /// Where one is something else.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> Vec<T> {
        let read = |one: &Recorded| match one.message.to_json() {
            Ok(value) => value,
            Err(error) => unmet(&format!(
                "{} on {} is not what is read: {error}",
                one.id, self.place
            )),
        };
        self.messages.iter().map(read).collect()
    }

    /// The only one.
    ///
    /// # Panics
    ///
    /// Where there are none or several.
    #[track_caller]
    pub fn assert_one(&self) -> &Recorded {
        match self.messages.as_slice() {
            [one] => one,
            all => unmet(&format!(
                "one message was expected on {}, and there are {}",
                self.place,
                all.len()
            )),
        }
    }

    /// Makes sure that there are none.
    ///
    /// # Panics
    ///
    /// Where there are some.
    #[track_caller]
    pub fn assert_none(&self) {
        if let Some(first) = self.messages.first() {
            unmet(&format!(
                "no message was expected on {}, and there are {}, the first {first:?}",
                self.place,
                self.messages.len()
            ));
        }
    }
}

impl Deref for RecordedMessages {
    type Target = [Recorded];

    fn deref(&self) -> &[Recorded] {
        &self.messages
    }
}
