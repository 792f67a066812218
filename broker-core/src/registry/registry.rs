//! Providers by name.

use super::Provider;
use crate::config::nearest;
use crate::values::{Error, ErrorKind, Result};

/// A provider that a linked crate registered.
#[doc(hidden)]
#[derive(Debug)]
pub struct Registration(pub &'static Provider);

inventory::collect!(Registration);

/// Puts a `static` [`Provider`] into the default registry of every program that links this crate.
///
/// A program that mentions nothing of the crate does not link it, although Cargo builds it: write
/// `use my_adapter as _;` there, or let a feature of the facade mention it.
#[macro_export]
macro_rules! register_provider {
    ($provider:path) => {
        $crate::__private::inventory::submit! { $crate::registry::Registration(&$provider) }
    };
}

/// Packages of this project by provider name, so that an unknown one can be answered with the line to add.
const KNOWN: [(&str, &str); 7] = [
    ("amqp", "rabbitmq"),
    ("inline", "inline"),
    ("kafka", "kafka"),
    ("rabbitmq", "rabbitmq"),
    ("redis", "redis-streams"),
    ("redis_pubsub", "redis-pubsub"),
    ("redis_streams", "redis-streams"),
];

/// Providers by name.
///
/// ```
/// use broker::registry::Registry;
///
/// let registry = Registry::linked()?;
/// assert!(registry.iter().any(|provider| provider.name() == "inline"));
/// let error = registry.get("inlin", "broker.toml: brokers.default.provider").unwrap_err();
/// assert!(error.to_string().contains("did you mean `inline`?"));
/// # Ok::<(), broker::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    providers: Vec<&'static Provider>,
}

impl Registry {
    /// No providers, for platforms where constructors do not run: [`add`](Self::add) them by hand.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            providers: Vec::new(),
        }
    }

    /// The providers of every linked crate, by name.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn linked() -> Result<Self> {
        let mut registry = Self::new();
        for Registration(provider) in inventory::iter::<Registration> {
            registry.add(provider)?;
        }
        registry.providers.sort_by_key(|provider| provider.name());
        Ok(registry)
    }

    /// Adds a provider.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where one of its names is taken: two providers of one name are a mistake, not a choice.
    pub fn add(&mut self, provider: &'static Provider) -> Result<()> {
        for name in provider.names() {
            if let Some(other) = self.find(name) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "two providers are called `{name}`: those of the packages {} and {}; link one of them",
                        other.package(),
                        provider.package()
                    ),
                ));
            }
        }
        self.providers.push(provider);
        Ok(())
    }

    /// The provider called `name`; `place` is where the name was written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] that lists the linked providers, guesses the nearest, and tells the line to add.
    pub fn get(&self, name: &str, place: &str) -> Result<&'static Provider> {
        if let Some(provider) = self.find(name) {
            return Ok(provider);
        }
        let names: Vec<_> = self
            .providers
            .iter()
            .flat_map(|provider| provider.names())
            .collect();
        let own: Vec<_> = self.providers.iter().map(|provider| provider.name()).collect();
        let linked = if own.is_empty() {
            "none".to_owned()
        } else {
            own.join(", ")
        };
        let line = |feature: &str| {
            format!(
                "broker = {{ version = \"{}\", features = [\"{feature}\"] }}",
                env!("CARGO_PKG_VERSION")
            )
        };
        let hint = if let Some((_, feature)) = KNOWN.iter().find(|(known, _)| *known == name) {
            format!("add to Cargo.toml: {}", line(feature))
        } else if let Some(nearest) = nearest(name, names.iter().copied()) {
            format!("did you mean `{nearest}`?")
        } else if let Some((_, feature)) = nearest(name, KNOWN.iter().map(|(known, _)| *known))
            .and_then(|near| KNOWN.iter().find(|(known, _)| *known == near))
        {
            format!("for `{feature}` add to Cargo.toml: {}", line(feature))
        } else {
            "link the crate that registers it: `use my_adapter as _;`".to_owned()
        };
        Err(Error::config(
            place,
            format!("unknown provider `{name}` (linked: {linked}); {hint}"),
        ))
    }

    /// The providers, by name where they come from [`linked`](Self::linked).
    pub fn iter(&self) -> impl Iterator<Item = &'static Provider> {
        self.providers.iter().copied()
    }

    fn find(&self, name: &str) -> Option<&'static Provider> {
        self.providers
            .iter()
            .copied()
            .find(|provider| provider.names().any(|known| known == name))
    }
}
