//! The conformance suite on a private Redis server.

use broker_core::{Result, async_trait};
use broker_redis_streams::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisHarness, RedisServer};
use broker_testkit::{Limits, Part, RawAccess, Suite, Timing};

/// The suite on streams with so many partitions.
pub(crate) fn suite(partitions: u32) -> Result<Suite> {
    let server = RedisConfig::new().durable().start()?;
    let harness = RedisHarness::new(&PROVIDER, server.clone())
        .set("dedup_window", "1m")
        .set("partitions", i64::from(partitions))
        .limits(Limits {
            partitions: Some(partitions),
            ..Limits::default()
        })
        // The network goes through a proxy, and the machine may be busy.
        .timing(Timing {
            scale: 3.0,
            ..Timing::default()
        })
        .raw(Raw { server, partitions })
        .proxied()?;
    Ok(Suite::new(harness)
        .absent(Part::Clock, "leases go by the server's clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        ))
}

/// The server's data past the adapter.
struct Raw {
    server: RedisServer,
    partitions: u32,
}

impl Raw {
    fn keys(&self, stream: &str) -> Vec<String> {
        match self.partitions {
            1 => vec![stream.to_owned()],
            count => (0..count)
                .map(|number| format!("{{{stream}}}:p:{number}"))
                .collect(),
        }
    }
}

#[async_trait]
impl RawAccess for Raw {
    async fn write_foreign(&self, stream: &str) -> Result<()> {
        let keys = self.keys(stream);
        let key = keys.first().map_or(stream, String::as_str);
        self.server
            .command(&["XADD", key, "*", "written", "by hand"])
            .map(drop)
    }

    async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        for key in self.keys(stream) {
            self.server.command(&["XGROUP", "DESTROY", &key, group])?;
        }
        Ok(())
    }

    async fn trim(&self, stream: &str, keep: u64) -> Result<()> {
        for key in self.keys(stream) {
            self.server
                .command(&["XTRIM", &key, "MAXLEN", &keep.to_string()])?;
        }
        Ok(())
    }
}
