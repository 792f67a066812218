//! The conformance suite on private Redis servers.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test program uses the part it needs"
)]

use broker_core::{Result, async_trait};
use broker_redis_streams::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisServers, ServerHarness};
use broker_testkit::{Limits, Part, RawAccess, Suite, Timing};

/// The suite on one server, with streams of so many partitions.
pub(crate) fn suite(partitions: u32) -> Result<Suite> {
    let server = RedisConfig::new().durable().proxied().start()?;
    let harness = harness(server, partitions);
    Ok(finish(match partitions {
        1 => harness,
        count => harness.setup(format!("{count} partitions")),
    }))
}

/// The suite on servers that are set up like this, which nothing can be put before.
pub(crate) fn arranged(servers: impl Into<RedisServers>, setup: &str, partitions: u32) -> Suite {
    finish(harness(servers, partitions).setup(setup)).absent(
        Part::Proxy,
        "the servers tell each other's own addresses; one server has a run with a proxy",
    )
}

/// A harness with the data reached past the adapter.
pub(crate) fn harness(servers: impl Into<RedisServers>, partitions: u32) -> ServerHarness<RedisServers> {
    let servers = servers.into();
    ServerHarness::new(&PROVIDER, servers.clone())
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
        .raw(Raw { servers, partitions })
}

/// The suite, without what no Redis server has.
pub(crate) fn finish(harness: ServerHarness<RedisServers>) -> Suite {
    Suite::new(harness)
        .absent(Part::Clock, "leases go by the server's clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        )
}

/// The rights that the README lists.
pub(crate) fn rights() -> String {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("## Rights").expect("the README has the rights");
    let (_, block) = after.split_once("```text").expect("they are a block of text");
    let (rights, _) = block.split_once("```").expect("the block ends");
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The servers' data past the adapter.
struct Raw {
    servers: RedisServers,
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
        self.servers
            .command(&["XADD", key, "*", "written", "by hand"])
            .map(drop)
    }

    async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        for key in self.keys(stream) {
            self.servers.command(&["XGROUP", "DESTROY", &key, group])?;
        }
        Ok(())
    }

    async fn trim(&self, stream: &str, keep: u64) -> Result<()> {
        for key in self.keys(stream) {
            self.servers
                .command(&["XTRIM", &key, "MAXLEN", &keep.to_string()])?;
        }
        Ok(())
    }
}
