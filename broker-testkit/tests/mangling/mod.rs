//! Brokers that mangle what passes through them, around a good one: bugs of codecs, names, positions and closing.

mod broker;
mod mangle;

use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::Settings;
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Capabilities, Result};
use broker_testkit::{Harness, Limits, Timing};
use serde::Deserialize;

use self::broker::ManglingBroker;
use self::mangle::Mangle;

/// What the good broker below can do, which no bug here takes away.
const CLAIMS: Capabilities = Capabilities::ENTERPRISE_STREAMING
    .union(Capabilities::DELAYED_DELIVERY)
    .union(Capabilities::IDEMPOTENT_PUBLISH);

static PROVIDER: Provider =
    Provider::new::<ManglingConfig>("mangling", "broker-testkit").modes(&[("", CLAIMS)]);

#[derive(Default, Deserialize)]
#[serde(default)]
struct ManglingConfig {
    server: String,
    mangle: Option<Mangle>,
}

impl ProviderConfig for ManglingConfig {
    type Broker = ManglingBroker;

    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, context: OpenContext) -> Result<ManglingBroker> {
        let mut good = Settings::new("mangling");
        good.set("shared", self.server, None);
        let names: Vec<_> = CLAIMS.flags().filter_map(Capabilities::name).collect();
        good.set("capabilities", names.join(","), None);
        let inner = broker_inline::PROVIDER.open(&good, context)?;
        Ok(ManglingBroker::new(inner.into(), self.mangle))
    }
}

/// The suite's way to a mangling broker.
pub(crate) struct ManglingHarness {
    mangle: Option<&'static str>,
}

impl ManglingHarness {
    /// The bug of this name, or none.
    pub(crate) fn new(mangle: Option<&'static str>) -> Self {
        Self { mangle }
    }
}

impl Harness for ManglingHarness {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new("mangling");
        settings.set("provider", "mangling", None);
        let server = format!("mangling-{}", self.mangle.unwrap_or("not"));
        settings.set("server", server, None);
        if let Some(mangle) = self.mangle {
            settings.set("mangle", mangle, None);
        }
        Ok(settings)
    }

    fn timing(&self) -> Timing {
        Timing {
            eventual: Duration::from_secs(2),
            lease: Duration::from_millis(300),
            retry_delay: Duration::from_millis(20),
            quiet: Duration::from_millis(60),
            // What is to be caught is far off any bound; what is not shall pass on a busy machine too.
            scale: 3.0,
            ..Timing::default()
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            partitions: Some(1),
            ..Limits::default()
        }
    }
}
