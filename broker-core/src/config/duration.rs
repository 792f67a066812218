//! `#[serde(with = "broker_core::config::duration")]`: durations with their unit, such as `250ms` or `5m`.

use std::time::Duration;

use serde::{Deserializer, Serializer};

/// Reads `1s`, `250ms`, `1h 30m`.
///
/// # Errors
///
/// Where the text is no such duration, or a bare number without a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration with its unit, such as `250ms`, `30s` or `5m`,")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    let text = deserializer.deserialize_any(Text)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom("a duration with its unit is expected, such as `250ms`, `30s` or `5m`")
    })
}

/// Writes what [`deserialize`] reads.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// The JSON Schema of what [`deserialize`] reads, for `#[schemars(schema_with = "…")]`.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "pattern": r"^\s*(\d+\s*[A-Za-zµ]+\s*)+$" })
}

/// The same for an `Option<Duration>`; together with `#[serde(default)]`.
pub mod option {
    use super::*;

    /// Reads a duration that is there.
    ///
    /// # Errors
    ///
    /// As [`super::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }

    /// Writes what [`deserialize`] reads.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// The JSON Schema of what [`deserialize`] reads, for `#[schemars(schema_with = "…")]`.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = super::schema(generator);
        schema.insert("type".to_owned(), ["string", "null"].as_slice().into());
        schema
    }
}
