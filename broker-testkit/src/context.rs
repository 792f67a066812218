//! What all checks of one run share.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use broker_core::{Capabilities, LostCapability, Result};

use crate::{Harness, Level, Options};

/// What all checks of one run share.
pub(crate) struct Context {
    pub(crate) harness: Arc<dyn Harness>,
    /// Tells this run's names from those of any other on the same server.
    pub(crate) run: String,
    /// How every name begins.
    pub(crate) prefix: String,
    pub(crate) seed: u64,
    pub(crate) level: Level,
    pub(crate) capabilities: Capabilities,
    pub(crate) lost: Vec<LostCapability>,
    pub(crate) server_version: Option<String>,
    /// Held alone by a check that disturbs the server or the network, and together by all others.
    pub(crate) quiet: RwLock<()>,
}

impl Context {
    /// Looks at the broker under test; what an instance can do is certain only once it is connected.
    pub(crate) fn look(harness: Arc<dyn Harness>, level: Level, seed: u64, connect: bool) -> Result<Self> {
        let runtime = crate::execute::runtime()?;
        let broker = harness.open(&Options::new())?;
        let server_version = runtime.block_on(async {
            if !connect {
                return Ok(None);
            }
            broker.ensure_connection().await?;
            let details = broker.health_stats().await.details;
            let version = details.into_iter().find(|(name, _)| name == "server_version");
            Ok::<_, broker_core::Error>(version.map(|(_, version)| version))
        })?;
        let (capabilities, lost) = (broker.capabilities(), broker.lost_capabilities());
        if connect {
            runtime.block_on(broker.close())?;
        }
        drop(broker);
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(Self {
            run: run_id(),
            seed,
            level,
            capabilities,
            lost,
            server_version: server_version.or_else(|| harness.server_version()),
            prefix: harness.prefix(),
            harness,
            quiet: RwLock::default(),
        })
    }
}

/// Not from the seed: two runs of one seed must not share their streams.
fn run_id() -> String {
    std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase())
        .take(8)
        .collect()
}
