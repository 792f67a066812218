//! Certifies the provider on a private Redis server.

use std::process::ExitCode;

use broker_core::{Result, async_trait};
use broker_redis_streams::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisHarness, RedisServer};
use broker_testkit::{Part, RawAccess, Suite, Timing};

fn main() -> Result<ExitCode> {
    Ok(suite()?.main())
}

fn suite() -> Result<Suite> {
    let server = RedisConfig::new().durable().start()?;
    let harness = RedisHarness::new(&PROVIDER, server.clone())
        .set("dedup_window", "1m")
        .timing(Timing {
            scale: 3.0,
            ..Timing::default()
        })
        .raw(Raw(server))
        .proxied()?;
    Ok(Suite::new(harness)
        .absent(Part::Clock, "leases go by the server's clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        ))
}

/// The server's data past the adapter.
struct Raw(RedisServer);

#[async_trait]
impl RawAccess for Raw {
    async fn write_foreign(&self, stream: &str) -> Result<()> {
        self.0
            .command(&["XADD", stream, "*", "written", "by hand"])
            .map(drop)
    }

    async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        self.0.command(&["XGROUP", "DESTROY", stream, group]).map(drop)
    }

    async fn trim(&self, stream: &str, keep: u64) -> Result<()> {
        let keep = keep.to_string();
        self.0
            .command(&["XTRIM", stream, "MAXLEN", keep.as_str()])
            .map(drop)
    }
}
