//! The one deserializer for file, URL and environment.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use toml::{Table, Value};

use super::nearest;

/// A value with its place. Text is read as a number or a truth where the struct wants one: from a URL all is text.
pub(super) struct Node<'a> {
    value: Item<'a>,
    place: String,
    origins: Option<&'a BTreeMap<String, String>>,
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

    fn at(mut self, place: &str) -> Self {
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
}

impl<'a> Node<'a> {
    pub(super) fn root(
        table: &'a Table,
        place: &str,
        origins: &'a BTreeMap<String, String>,
        also_known: &'static [&'static str],
    ) -> Self {
        Self {
            value: Item::Table(table),
            place: place.to_owned(),
            origins: Some(origins),
            also_known,
        }
    }

    fn child(&self, key: &str, value: &'a Value) -> Self {
        let origin = self.origins.and_then(|origins| origins.get(key));
        let place = origin.cloned().unwrap_or_else(|| format!("{}.{key}", self.place));
        Self {
            value: Item::Value(value),
            place,
            origins: None,
            also_known: &[],
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self.value {
            Item::Value(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self.value {
            Item::Table(_) | Item::Value(Value::Table(_)) => "a table".to_owned(),
            // A wrong value may be a secret in the wrong place: only its type is shown.
            Item::Value(value) => format!("a value of type {}", value.type_str()),
        }
    }

    fn wrong(&self, expected: &str) -> ConfigError {
        ConfigError {
            place: Some(self.place.clone()),
            message: format!("{expected} is expected, not {}", self.describe()),
        }
    }

    fn parse<T: FromStr>(&self, text: &str, expected: &str) -> Result<T, ConfigError> {
        text.trim().parse().map_err(|_| ConfigError {
            place: Some(self.place.clone()),
            message: format!("{expected} is expected, not `{text}`"),
        })
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
    ($($method:ident => $visit:ident, $type:ty, $expected:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            let place = self.place.clone();
            match (&self.value, self.text()) {
                (_, Some(text)) => visitor.$visit(self.parse::<$type>(text, $expected)?),
                (Item::Value(Value::Integer(number)), None) => visitor.visit_i64(*number),
                _ => return Err(self.wrong($expected)),
            }
            .map_err(|error: ConfigError| error.at(&place))
        })*
    };
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
        deserialize_i8 => visit_i64, i64, "a whole number";
        deserialize_i16 => visit_i64, i64, "a whole number";
        deserialize_i32 => visit_i64, i64, "a whole number";
        deserialize_i64 => visit_i64, i64, "a whole number";
        deserialize_u8 => visit_u64, u64, "a whole number from zero";
        deserialize_u16 => visit_u64, u64, "a whole number from zero";
        deserialize_u32 => visit_u64, u64, "a whole number from zero";
        deserialize_u64 => visit_u64, u64, "a whole number from zero";
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
            None => Err(self.wrong("text")),
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

struct Items<I>(I);

impl<'de, 'a, I: Iterator<Item = Node<'a>>> de::SeqAccess<'de> for Items<I> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Words<I>(I);

impl<'de, 'a, I: Iterator<Item = &'a str>> de::SeqAccess<'de> for Words<I> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        self.0
            .next()
            .map(|word| seed.deserialize(IntoDeserializer::<ConfigError>::into_deserializer(word)))
            .transpose()
    }
}

struct Entries<'a> {
    entries: toml::map::Iter<'a, String, Value>,
    node: Node<'a>,
    value: Option<Node<'a>>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(self.node.child(key, value));
        let key: StringDeserializer<ConfigError> = key.clone().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ConfigError> {
        match self.value.take() {
            Some(node) => {
                let place = node.place.clone();
                seed.deserialize(node).map_err(|error| error.at(&place))
            }
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}
