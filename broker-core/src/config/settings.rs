//! One broker's settings before they have types.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::deserializer::Node;
use super::origins::Origins;
use super::url::{check_credentials, check_escapes};
use super::{BrokerConfig, BrokerUrl};
use crate::values::{Error, Result};

/// One broker's settings as they were written, with the place each came from.
///
/// Keys are `snake_case`; the same in upper case is accepted when they are set.
///
/// ```
/// use broker::config::Settings;
/// use broker::prelude::*;
/// use broker::registry::Registry;
///
/// let mut settings = Settings::from_url("inline://?max_retries=5")?;
/// settings.set("partitions", 4, None);
/// let broker = Broker::from_settings("default", settings, &Registry::linked()?)?;
/// assert_eq!(broker.config().max_retries, 5);
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Settings {
    place: String,
    table: Table,
    /// Keys that came from elsewhere than `place`, such as an environment variable.
    origins: Origins,
}

impl Settings {
    /// No settings yet; `place` is what errors will name, such as `broker.toml: brokers.default`.
    #[must_use]
    pub fn new(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            ..Self::default()
        }
    }

    /// The settings of a TOML table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where a key stands twice, in lower and in upper case.
    pub fn from_table(place: impl Into<String>, table: Table) -> Result<Self> {
        let mut settings = Self::new(place);
        for (key, value) in table {
            let name = normal(&key);
            if settings.table.contains_key(&name) {
                return Err(Error::config(
                    settings.place_of(&name),
                    format!(
                        "set twice, as `{name}` and as `{}`; keep one",
                        name.to_ascii_uppercase()
                    ),
                ));
            }
            settings.table.insert(name, value);
        }
        settings.split_uri_query()?;
        Ok(settings)
    }

    /// The settings that a URL holds: its scheme picks the provider, its query sets options, the rest is the `uri`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `url` is not one.
    pub fn from_url(url: &str) -> Result<Self> {
        let parsed = BrokerUrl::parse(url).map_err(|error| Error::config("url", error))?;
        let mut settings = Self::new("url");
        for (key, text) in [("provider", parsed.scheme()), ("uri", url)] {
            settings
                .table
                .insert(key.to_owned(), Value::String(text.to_owned()));
        }
        settings.split_uri_query()?;
        Ok(settings)
    }

    /// Sets `key` to `value`, as from `origin` where that differs from the settings' own place.
    pub fn set(&mut self, key: &str, value: impl Into<Value>, origin: Option<String>) {
        let key = normal(key);
        self.origins.set(&key, origin);
        self.table.insert(key, value.into());
    }

    /// Sets `key` to `value` as from `origin`, unless it is set already.
    pub(super) fn set_once(&mut self, key: &str, value: String, origin: String) -> Result<()> {
        let name = normal(key);
        if self.table.contains_key(&name) {
            let other = self.place_of(&name);
            return Err(Error::config(
                origin,
                format!("set twice, here and by {other}; keep one"),
            ));
        }
        self.set(&name, value, Some(origin));
        Ok(())
    }

    /// Lays the settings of another source over these. Another `uri` takes the options of the old one's query away.
    pub(super) fn overlay(&mut self, mut layer: Self) -> Result<()> {
        layer.split_uri_query()?;
        if layer.table.contains_key("uri") {
            let query = format!("{}?", self.place_of("uri"));
            let (origins, table) = (&self.origins, &mut self.table);
            table.retain(|key, _| !origins.get(key).is_some_and(|origin| origin.starts_with(&query)));
        }
        for (key, value) in layer.table {
            let origin = layer.origins.remove(&key);
            self.set(&key, value, origin);
        }
        Ok(())
    }

    /// The text of `key`, if it is there and text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key)?.as_str()
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Where `key` was written, as errors name it.
    #[must_use]
    pub fn place_of(&self, key: &str) -> String {
        match self.origins.get(key) {
            Some(origin) => origin.clone(),
            None => format!("{}.{key}", self.place),
        }
    }

    /// Where these settings were written.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Takes out the settings that every broker has and leaves the provider's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where one has a wrong type or value.
    pub fn take_common(&mut self) -> Result<BrokerConfig> {
        // One that was set from code has its query still.
        self.split_uri_query()?;
        let (known, rest) = std::mem::take(&mut self.table)
            .into_iter()
            .partition(|(key, _)| BrokerConfig::FIELDS.contains(&key.as_str()));
        self.table = rest;
        let common = Self {
            place: self.place.clone(),
            table: known,
            origins: self.origins.clone(),
        };
        let config: BrokerConfig = common.to_typed(&[])?;
        config.validate(|key| self.place_of(key))?;
        Ok(config)
    }

    /// The settings as a `T`, each key checked against `T`'s fields.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the place, what is wrong there, and the nearest right name.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        self.to_typed(BrokerConfig::FIELDS)
    }

    /// Options in a URI's query are settings like any other; one that is set beside it as well is ambiguous.
    fn split_uri_query(&mut self) -> Result<()> {
        let Some(uri) = self.text("uri").map(str::to_owned) else {
            return Ok(());
        };
        let Some((address, query)) = uri.split_once('?') else {
            return Ok(());
        };
        let place = self.place_of("uri");
        check_credentials(&uri)
            .and_then(|()| check_escapes(query, "query"))
            .map_err(|error| Error::config(&place, error))?;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = normal(&key);
            if self.table.contains_key(&name) {
                let twice = if self.place_of(&name) == format!("{place}?{name}") {
                    "set twice in the URI's query; keep one"
                } else {
                    "set in the URI's query and beside it; keep one"
                };
                return Err(Error::config(self.place_of(&name), twice));
            }
            self.set(&name, value.into_owned(), Some(format!("{place}?{name}")));
        }
        self.table
            .insert("uri".to_owned(), Value::String(address.to_owned()));
        Ok(())
    }

    fn to_typed<T: DeserializeOwned>(&self, also_known: &'static [&'static str]) -> Result<T> {
        T::deserialize(Node::root(&self.table, &self.place, &self.origins, also_known))
            .map_err(|error| Error::config(error.place(&self.place), error.message()))
    }
}

impl std::fmt::Debug for Settings {
    /// Keys only: any value may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("place", &self.place)
            .field("keys", &self.table.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// `URI` and `uri` are one key; anything between stays as it is, and is then unknown.
fn normal(key: &str) -> String {
    if key.chars().any(|c| c.is_ascii_lowercase()) {
        key.to_owned()
    } else {
        key.to_ascii_lowercase()
    }
}
