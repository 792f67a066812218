//! A harness made of a URL.

use std::fmt;

use broker_core::config::Settings;
use broker_core::registry::Provider;
use broker_core::{Error, ErrorKind, Result};

use crate::described::{self, Described};
use crate::{Harness, VirtualClock};

/// A harness for an adapter whose server is at a URL, which does for most.
///
/// ```
/// use broker_testkit::{Harness, Limits, Timing, UrlHarness};
/// use std::time::Duration;
///
/// let harness = UrlHarness::new(&broker_inline::PROVIDER, "inline://suite")
///     .timing(Timing { lease: Duration::from_millis(300), ..Timing::default() })
///     .limits(Limits { partitions: Some(1), ..Limits::default() });
/// assert_eq!(harness.settings()?.text("uri"), Some("inline://suite"));
/// # Ok::<(), broker_core::Error>(())
/// ```
pub struct UrlHarness {
    provider: &'static Provider,
    url: String,
    described: Described,
    durable: bool,
    unreachable: Option<String>,
    clock: Option<Box<dyn VirtualClock>>,
}

impl UrlHarness {
    /// The adapter `provider` on the server at `url`.
    #[must_use]
    pub fn new(provider: &'static Provider, url: impl Into<String>) -> Self {
        Self {
            provider,
            url: url.into(),
            described: Described::default(),
            durable: false,
            unreachable: None,
            clock: None,
        }
    }

    described::setters!();

    /// Says that messages survive a restart of the server.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sets a URL with the user `mallory` and the password `hunter2secret` that leads to where nothing listens.
    #[must_use]
    pub fn unreachable(mut self, url: impl Into<String>) -> Self {
        self.unreachable = Some(url.into());
        self
    }

    /// Sets the clock that leases and back-offs go by, where it can be moved.
    #[must_use]
    pub fn clock(mut self, clock: impl VirtualClock + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }
}

impl Harness for UrlHarness {
    fn provider(&self) -> &'static Provider {
        self.provider
    }

    fn settings(&self) -> Result<Settings> {
        let settings = Settings::from_url(&self.url)?;
        let scheme = settings.text("provider").unwrap_or_default();
        if self.provider.names().any(|name| name == scheme) {
            return Ok(settings);
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "the URL's scheme `{scheme}` is not one of provider `{}`",
                self.provider.name()
            ),
        ))
    }

    described::answers!();

    fn durable(&self) -> bool {
        self.durable
    }

    fn clock(&self) -> Option<&dyn VirtualClock> {
        self.clock.as_deref()
    }

    fn unreachable(&self) -> Option<Settings> {
        Settings::from_url(self.unreachable.as_deref()?).ok()
    }
}

impl fmt::Debug for UrlHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlHarness")
            .field("provider", self.provider)
            .field("mode", &self.described.mode)
            .finish_non_exhaustive()
    }
}
