//! An adapter as the registry knows it.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::base::{BaseBroker, DynBroker, OpenContext};
use crate::config::Settings;
use crate::values::{Capabilities, Result};

/// An adapter's own settings, which know how to open it.
///
/// Derive `Deserialize` with `#[serde(default)]`: its field names are the keys a user may write, and any other key is
/// refused with the nearest of them.
pub trait ProviderConfig: DeserializeOwned + Send + 'static {
    /// What it opens.
    type Broker: BaseBroker;

    /// The provider these settings belong to, for brokers that are opened from code.
    const PROVIDER: &'static Provider;

    /// Opens the broker, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where the settings contradict each other: made by
    /// [`Error::config`](crate::Error::config) with the setting's key alone, to which the caller adds where it was
    /// written.
    fn open(self, context: OpenContext) -> Result<Self::Broker>;
}

/// An adapter as the registry knows it: its names, what it can be, and how to open it.
///
/// A `static` in the adapter's crate is the truth; [`register_provider!`](crate::register_provider) puts it into the
/// default registry of every program that links the crate.
pub struct Provider {
    name: &'static str,
    package: &'static str,
    schemes: &'static [&'static str],
    modes: &'static [(&'static str, Capabilities)],
    open: Open,
    schema: Option<fn() -> serde_json::Value>,
}

type Open = fn(&Settings, OpenContext) -> Result<Box<dyn DynBroker>>;

impl Provider {
    /// The provider called `name`, of the package `package`, whose settings are a `C`.
    #[must_use]
    pub const fn new<C: ProviderConfig>(name: &'static str, package: &'static str) -> Self {
        Self {
            name,
            package,
            schemes: &[],
            modes: &[],
            open: open::<C>,
            schema: None,
        }
    }

    /// Sets further names: URL schemes that pick this provider, which also serve as its names in configuration.
    #[must_use]
    pub const fn schemes(mut self, schemes: &'static [&'static str]) -> Self {
        self.schemes = schemes;
        self
    }

    /// Sets the most that an instance can claim, by mode; a provider without modes has one, called the empty text.
    #[must_use]
    pub const fn modes(mut self, modes: &'static [(&'static str, Capabilities)]) -> Self {
        self.modes = modes;
        self
    }

    /// Sets what writes the JSON Schema of the settings.
    #[must_use]
    pub const fn schema(mut self, schema: fn() -> serde_json::Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The name in configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The package to put into `Cargo.toml`.
    #[must_use]
    pub const fn package(&self) -> &'static str {
        self.package
    }

    /// The name and the further names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.schemes.iter().copied().filter(|scheme| *scheme != self.name))
    }

    /// The most that an instance can claim, by mode.
    #[must_use]
    pub const fn claims(&self) -> &'static [(&'static str, Capabilities)] {
        self.modes
    }

    /// The JSON Schema of the settings, where the adapter was built with it.
    #[must_use]
    pub fn settings_schema(&self) -> Option<serde_json::Value> {
        self.schema.map(|schema| schema())
    }

    /// Opens a broker with these settings, without I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the place and what is wrong there.
    pub fn open(&self, settings: &Settings, context: OpenContext) -> Result<Box<dyn DynBroker>> {
        (self.open)(settings, context).map_err(|error| error.provider(self.name))
    }
}

fn open<C: ProviderConfig>(settings: &Settings, context: OpenContext) -> Result<Box<dyn DynBroker>> {
    let config: C = settings.parse()?;
    let broker = config
        .open(context)
        .map_err(|error| error.placed(|key| settings.place_of(key)))?;
    Ok(Box::new(broker))
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}
