//! A value that is passed to the client library as it is.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A text, number or truth value for librdkafka. It may be a secret, so that it never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Passed(String);

impl Passed {
    /// The value as librdkafka reads it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: ToString> From<T> for Passed {
    fn from(value: T) -> Self {
        Self(value.to_string())
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl serde::de::Visitor<'_> for Scalar {
            type Value = Passed;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Passed, E> {
                Ok(text.into())
            }
            fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Passed, E> {
                Ok(truth.into())
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Passed, E> {
                Ok(number.into())
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Passed, E> {
                Ok(number.into())
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Passed, E> {
                Ok(number.into())
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
