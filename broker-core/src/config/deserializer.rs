//! The one deserializer for file, URL and environment.

use std::fmt;
use std::str::FromStr;

use serde::de::value::StrDeserializer;
use serde::de::{self, IntoDeserializer, Visitor};
use toml::{Table, Value};

use super::access::{Entries, Items, Words};
use super::nearest;
use super::origins::Origins;

/// A value with its place. Text is read as a number or a truth where the struct wants one: from a URL all is text.
pub(super) struct Node<'a> {
    value: Item<'a>,
    place: String,
    origins: Option<&'a Origins>,
    also_known: &'static [&'static str],
}

enum Item<'a> {
    Table(&'a Table),
    Value(&'a Value),
}

/// What is wrong, and where as far as a node knew it.
#[derive(Debug)]
pub(super) struct ConfigError {
    place: Option<String>,
    message: String,
}

impl ConfigError {
    /// The place, or `outer` where only the whole table is known.
    pub(super) fn place(&self, outer: &str) -> String {
        self.place.clone().unwrap_or_else(|| outer.to_owned())
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn at(mut self, place: &str) -> Self {
        self.place.get_or_insert_with(|| place.to_owned());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            place: None,
            message: message.to_string(),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("`{field}` is missing; set it"))
    }

    // What was written may be a secret in the wrong place: only its type is shown.
    fn invalid_type(written: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format!("{expected} is expected, not {}", kind(&written)))
    }

    fn invalid_value(written: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format!("{expected} is expected, not such {}", kind(&written)))
    }
}

fn kind(written: &de::Unexpected<'_>) -> &'static str {
    match written {
        de::Unexpected::Bool(_) => "true or false",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) | de::Unexpected::Float(_) => "a number",
        de::Unexpected::Char(_) | de::Unexpected::Str(_) => "a text",
        de::Unexpected::Seq => "a list",
        de::Unexpected::Map => "a table",
        _ => "a value",
    }
}

impl<'a> Node<'a> {
    pub(super) fn root(
        table: &'a Table,
        place: &str,
        origins: &'a Origins,
        also_known: &'static [&'static str],
    ) -> Self {
        Self {
            value: Item::Table(table),
            place: place.to_owned(),
            origins: Some(origins),
            also_known,
        }
    }

    pub(super) fn child(&self, key: &str, value: &'a Value) -> Self {
        let origin = self.origins.and_then(|origins| origins.get(key));
        let place = origin.cloned().unwrap_or_else(|| format!("{}.{key}", self.place));
        Self {
            value: Item::Value(value),
            place,
            origins: None,
            also_known: &[],
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn text(&self) -> Option<&'a str> {
        match self.value {
            Item::Value(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn describe(&self) -> &'static str {
        match self.value {
            Item::Table(_) | Item::Value(Value::Table(_)) => "a table",
            Item::Value(Value::String(_)) => "a text",
            Item::Value(Value::Integer(_) | Value::Float(_)) => "a number",
            Item::Value(Value::Boolean(_)) => "true or false",
            Item::Value(Value::Datetime(_)) => "a date",
            Item::Value(Value::Array(_)) => "a list",
        }
    }

    fn wrong(&self, expected: &str) -> ConfigError {
        self.refuse(format!("{expected} is expected, not {}", self.describe()))
    }

    fn refuse(&self, message: String) -> ConfigError {
        ConfigError {
            place: Some(self.place.clone()),
            message,
        }
    }

    fn parse<T: FromStr>(&self, text: &str, expected: &str) -> Result<T, ConfigError> {
        text.trim()
            .parse()
            .map_err(|_| self.refuse(format!("{expected} is expected, not such a text")))
    }

    fn whole<T: FromStr + TryFrom<i64>>(&self, expected: &str) -> Result<T, ConfigError> {
        match (&self.value, self.text()) {
            (_, Some(text)) => self.parse(text, expected),
            (Item::Value(Value::Integer(number)), None) => {
                T::try_from(*number).map_err(|_| self.refuse(format!("{expected} is expected, not {number}")))
            }
            _ => Err(self.wrong(expected)),
        }
    }

    fn table(&self) -> Option<&'a Table> {
        match self.value {
            Item::Table(table) | Item::Value(Value::Table(table)) => Some(table),
            Item::Value(_) => None,
        }
    }

    fn unknown_key(&self, key: &str, fields: &'static [&'static str]) -> ConfigError {
        let place = self.origins.and_then(|origins| origins.get(key)).cloned();
        let known = || fields.iter().chain(self.also_known).copied();
        let hint = match nearest(&key.to_ascii_lowercase(), known()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
        };
        ConfigError {
            place: Some(place.unwrap_or_else(|| format!("{}.{key}", self.place))),
            message: format!("unknown key; {hint}"),
        }
    }
}

macro_rules! number {
    ($($method:ident => $visit:ident, $type:ty, $expected:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            let number = self.whole::<$type>(&$expected)?;
            visitor.$visit(number).map_err(|error: ConfigError| error.at(&self.place))
        })*
    };
}

/// What fits a type, in words.
fn between(least: impl fmt::Display, most: impl fmt::Display) -> String {
    format!("a whole number from {least} to {most}")
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let place = self.place.clone();
        match self.value {
            Item::Table(_) | Item::Value(Value::Table(_)) => self.deserialize_map(visitor),
            Item::Value(Value::Array(_)) => self.deserialize_seq(visitor),
            Item::Value(Value::String(text)) => visitor.visit_str(text),
            Item::Value(Value::Integer(number)) => visitor.visit_i64(*number),
            Item::Value(Value::Float(number)) => visitor.visit_f64(*number),
            Item::Value(Value::Boolean(truth)) => visitor.visit_bool(*truth),
            Item::Value(Value::Datetime(time)) => visitor.visit_string(time.to_string()),
        }
        .map_err(|error: ConfigError| error.at(&place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match (&self.value, self.text()) {
            (_, Some(text)) => visitor.visit_bool(self.parse(text, "true or false")?),
            (Item::Value(Value::Boolean(truth)), None) => visitor.visit_bool(*truth),
            _ => Err(self.wrong("true or false")),
        }
    }

    number! {
        deserialize_i8 => visit_i8, i8, between(i8::MIN, i8::MAX);
        deserialize_i16 => visit_i16, i16, between(i16::MIN, i16::MAX);
        deserialize_i32 => visit_i32, i32, between(i32::MIN, i32::MAX);
        deserialize_i64 => visit_i64, i64, "a whole number";
        deserialize_u8 => visit_u8, u8, between(0, u8::MAX);
        deserialize_u16 => visit_u16, u16, between(0, u16::MAX);
        deserialize_u32 => visit_u32, u32, between(0, u32::MAX);
        deserialize_u64 => visit_u64, u64, "a whole number from 0";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_f64(visitor)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer written for a factor is small"
    )]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match (&self.value, self.text()) {
            (_, Some(text)) => visitor.visit_f64(self.parse(text, "a number")?),
            (Item::Value(Value::Float(number)), None) => visitor.visit_f64(*number),
            (Item::Value(Value::Integer(number)), None) => visitor.visit_f64(*number as f64),
            _ => Err(self.wrong("a number")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.text() {
            Some(text) => visitor
                .visit_str(text)
                .map_err(|error: ConfigError| error.at(&self.place)),
            None => Err(self.wrong("a text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    /// A list, or text separated by commas, which is how a URL and the environment write one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match (&self.value, self.text()) {
            (Item::Value(Value::Array(items)), _) => {
                let nodes = items.iter().enumerate().map(|(index, value)| Node {
                    value: Item::Value(value),
                    place: format!("{}[{index}]", self.place),
                    origins: None,
                    also_known: &[],
                });
                visitor
                    .visit_seq(Items(nodes))
                    .map_err(|error: ConfigError| error.at(&self.place))
            }
            (_, Some(text)) => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                visitor
                    .visit_seq(Words(words))
                    .map_err(|error: ConfigError| error.at(&self.place))
            }
            _ => Err(self.wrong("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let Some(table) = self.table() else {
            return Err(self.wrong("a table"));
        };
        let place = self.place.clone();
        visitor
            .visit_map(Entries {
                entries: table.iter(),
                node: self,
                value: None,
            })
            .map_err(|error: ConfigError| error.at(&place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let Some(table) = self.table() else {
            return Err(self.wrong("a table"));
        };
        if let Some(key) = table.keys().find(|key| !fields.contains(&key.as_str())) {
            return Err(self.unknown_key(key, fields));
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let Some(text) = self.text() else {
            return Err(self.wrong(&format!("one of {}", variants.join(", "))));
        };
        if !variants.contains(&text) {
            let hint = match nearest(text, variants.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("one of {} is expected", variants.join(", ")),
            };
            return Err(ConfigError {
                place: Some(self.place),
                message: format!("unknown value `{text}`; {hint}"),
            });
        }
        let variant: StrDeserializer<'_, ConfigError> = text.into_deserializer();
        visitor.visit_enum(variant).map_err(|error| error.at(&self.place))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_unit()
    }
}
