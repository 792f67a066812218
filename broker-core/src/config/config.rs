//! Every configured broker's settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Settings, environment, interpolate, nearest};
use crate::values::{Error, Result};

/// The files that are looked for, in this order, when none is named.
const FILES: [&str; 2] = ["broker.toml", ".broker.toml"];

/// The settings of every configured broker, by name.
///
/// ```
/// use broker::config::Config;
///
/// let text = "[brokers.default]\nprovider = 'redis'\nURI = '${REDIS_URL|redis://localhost:6379/1}'";
/// let config = Config::parse(text, "broker.toml", &|_| None)?; // no variable is set
/// let settings = config.get("default").unwrap();
/// assert_eq!(settings.text("uri"), Some("redis://localhost:6379/1"));
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    brokers: BTreeMap<String, Settings>,
}

impl Config {
    /// Reads `broker.toml` or `.broker.toml` of the working folder, and the environment over it.
    ///
    /// Without a file the environment alone may do: `BROKER__DEFAULT__PROVIDER=inline`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with file, place, what is wrong and how to mend it.
    pub fn load() -> Result<Self> {
        let found = FILES.iter().map(Path::new).find(|path| path.exists());
        let config = match found {
            Some(path) => Self::from_file(path)?,
            None => Self::default().with_environment(std::env::vars_os().filter_map(utf8))?,
        };
        if config.brokers.is_empty() {
            return Err(Error::config(
                "broker.toml",
                "not found; write it with a `[brokers.default]` table, name another file, or set BROKER__DEFAULT__PROVIDER",
            ));
        }
        Ok(config)
    }

    /// Reads the file at `path`, and the environment over it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let place = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::config(&place, "the file can't be read; name one that can").source(error)
        })?;
        Self::parse(&text, &place, &|name| std::env::var(name).ok())?
            .with_environment(std::env::vars_os().filter_map(utf8))
    }

    /// Reads TOML text alone; `${NAME}` looks into the environment.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_text(text: &str) -> Result<Self> {
        Self::parse(text, "text", &|name| std::env::var(name).ok())
    }

    /// Reads TOML text; errors call it `place`, and `lookup` answers for `${NAME}`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(text: &str, place: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            Error::config(
                format!("{place}:{line}"),
                format!("not TOML: {}", error.message()),
            )
        })?;
        if let Some(key) = table.keys().find(|key| *key != "brokers") {
            let hint = match nearest(key, ["brokers"]) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "only `[brokers.NAME]` tables are known here".to_owned(),
            };
            return Err(Error::config(
                format!("{place}: {key}"),
                format!("unknown key; {hint}"),
            ));
        }
        let mut config = Self::default();
        for (name, mut value) in brokers_table(table, place)? {
            let place = format!("{place}: brokers.{name}");
            interpolate::interpolate(&mut value, &place, lookup)?;
            let Value::Table(table) = value else {
                return Err(Error::config(
                    place,
                    "a table is expected; write `[brokers.NAME]`",
                ));
            };
            config.brokers.insert(name, Settings::from_table(place, table)?);
        }
        Ok(config)
    }

    /// Lays `BROKER__NAME__KEY` variables over the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a variable of that prefix and another form.
    pub fn with_environment(mut self, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        environment::overlay(&mut self.brokers, variables)?;
        Ok(self)
    }

    /// Adds or replaces the broker called `name`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, settings: Settings) -> Self {
        self.brokers.insert(name.into(), settings);
        self
    }

    /// The settings of the broker called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Settings> {
        self.brokers.get(name)
    }

    /// Names and settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Settings)> {
        self.brokers
            .iter()
            .map(|(name, settings)| (name.as_str(), settings))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(String::as_str)
    }
}

fn brokers_table(mut table: Table, place: &str) -> Result<Table> {
    match table.remove("brokers") {
        Some(Value::Table(brokers)) => Ok(brokers),
        Some(_) => Err(Error::config(
            format!("{place}: brokers"),
            "a table is expected; write `[brokers.NAME]`",
        )),
        None => Ok(Table::new()),
    }
}

/// Variables that are not UTF-8 are none of ours.
fn utf8((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
