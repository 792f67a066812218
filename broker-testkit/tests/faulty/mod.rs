//! Brokers with known bugs, around a good one.

mod broker;
mod families;
mod fault;
mod publishing;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::config::Settings;
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Result, async_trait};
use broker_testkit::{Harness, Limits, ServerControl, Timing, VirtualClock};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use self::broker::FaultyBroker;
pub(crate) use self::fault::Fault;

pub(crate) static PROVIDER: Provider = Provider::new::<FaultyConfig>("faulty", "broker-testkit");

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct FaultyConfig {
    server: String,
    fault: Option<Fault>,
    partitions: i64,
}

impl ProviderConfig for FaultyConfig {
    type Broker = FaultyBroker;

    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, context: OpenContext) -> Result<FaultyBroker> {
        let mut good = Settings::new("faulty");
        let down = server(&self.server);
        good.set("shared", self.server, None);
        good.set("partitions", self.partitions, None);
        Ok(FaultyBroker {
            inner: broker_inline::PROVIDER.open(&good, context)?.into(),
            fault: self.fault,
            down,
            published: Default::default(),
            answers: Default::default(),
            closed: Default::default(),
            reading: Default::default(),
        })
    }
}

/// The power switch of the server of this name.
fn server(name: &str) -> Arc<AtomicBool> {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    static SERVERS: LazyLock<Mutex<HashMap<String, Arc<AtomicBool>>>> = LazyLock::new(Mutex::default);
    Arc::clone(SERVERS.lock().unwrap().entry(name.to_owned()).or_default())
}

/// The suite's way to a faulty broker.
pub(crate) struct FaultyHarness {
    name: String,
    fault: Option<&'static str>,
    down: Arc<AtomicBool>,
    has_server: bool,
    partitions: u32,
}

impl FaultyHarness {
    /// The bug of this name, or none; with the server's switch or without.
    pub(crate) fn new(fault: Option<&'static str>, has_server: bool) -> Self {
        let name = format!("faulty-{}", fault.unwrap_or("not"));
        Self {
            down: server(&name),
            name,
            fault,
            has_server,
            partitions: 4,
        }
    }

    /// As many partitions per stream.
    #[allow(dead_code, reason = "one of the tests that share this has no use for it")]
    pub(crate) fn partitions(mut self, partitions: u32) -> Self {
        self.name.push_str(&format!("-{partitions}"));
        self.down = server(&self.name);
        self.partitions = partitions;
        self
    }
}

impl Harness for FaultyHarness {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new("faulty");
        settings.set("provider", "faulty", None);
        settings.set("server", self.name.clone(), None);
        settings.set("partitions", i64::from(self.partitions), None);
        if let Some(fault) = self.fault {
            settings.set("fault", fault, None);
        }
        Ok(settings)
    }

    fn timing(&self) -> Timing {
        Timing {
            eventual: Duration::from_secs(if self.fault.is_some() { 1 } else { 15 }),
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
            partitions: Some(self.partitions),
            ..Limits::default()
        }
    }

    fn server(&self) -> Option<&dyn ServerControl> {
        self.has_server.then_some(self)
    }

    fn clock(&self) -> Option<&dyn VirtualClock> {
        Some(self)
    }
}

#[async_trait]
impl VirtualClock for FaultyHarness {
    fn runtime(&self) -> std::io::Result<Runtime> {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

#[async_trait]
impl ServerControl for FaultyHarness {
    async fn start(&self) -> Result<()> {
        self.down.store(false, Ordering::Release);
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        self.down.store(true, Ordering::Release);
        Ok(())
    }

    async fn kill(&self) -> Result<()> {
        self.stop().await
    }

    async fn configure(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
}
