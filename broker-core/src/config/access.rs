//! How the deserializer walks lists and tables.

use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer};
use toml::Value;

use super::deserializer::{ConfigError, Node};

/// The items of a list.
pub(super) struct Items<I>(pub(super) I);

impl<'de, 'a, I: Iterator<Item = Node<'a>>> de::SeqAccess<'de> for Items<I> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

/// The words of a text that is written for a list.
pub(super) struct Words<I>(pub(super) I);

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

/// The entries of a table.
pub(super) struct Entries<'a> {
    pub(super) entries: toml::map::Iter<'a, String, Value>,
    pub(super) node: Node<'a>,
    pub(super) value: Option<Node<'a>>,
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
                let place = node.place().to_owned();
                seed.deserialize(node).map_err(|error| error.at(&place))
            }
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}
