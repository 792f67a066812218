//! The conformance suite on private Redis servers.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test program uses the part it needs"
)]

use std::process::ExitCode;

use broker_core::{Result, async_trait};
use broker_redis_pubsub::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisServers, ServerHarness};
use broker_testkit::{Part, RawAccess, Suite, Timing};

/// The modes, each of which is certified by itself.
pub(crate) const MODES: [&str; 3] = ["list", "channel", "queue"];

/// Runs the suite on `mode`.
pub(crate) fn conformance(mode: &'static str) -> ExitCode {
    let server = RedisConfig::new().durable().proxied().start();
    told(server.map(|server| finish(harness(server, mode)).main()))
}

/// Runs the suite on each mode, on servers that are set up like this, which nothing can be put before.
pub(crate) fn arranged(servers: impl Into<RedisServers>, setup: &str) -> ExitCode {
    let servers = servers.into();
    each_mode(|mode| {
        let suite = finish(harness(servers.clone(), mode).setup(setup)).absent(
            Part::Proxy,
            "the servers tell each other's own addresses; one server has a run with a proxy",
        );
        Ok(suite.main())
    })
}

/// Runs each mode; one that fails fails the program.
pub(crate) fn each_mode(run: impl Fn(&'static str) -> Result<ExitCode>) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for mode in MODES {
        let code = told(run(mode));
        if code != ExitCode::SUCCESS {
            outcome = code;
        }
    }
    outcome
}

/// The program's outcome, with the error where it did not come to run.
#[expect(
    clippy::print_stderr,
    reason = "a test program without a harness has no other way to say why"
)]
pub(crate) fn told(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("conformance: {error}");
        ExitCode::FAILURE
    })
}

/// A harness with the data reached past the adapter.
pub(crate) fn harness(servers: impl Into<RedisServers>, mode: &'static str) -> ServerHarness<RedisServers> {
    let servers = servers.into();
    ServerHarness::new(&PROVIDER, servers.clone())
        .mode(mode)
        .set("mode", mode)
        // The network goes through a proxy, and the machine may be busy.
        .timing(Timing {
            scale: 3.0,
            ..Timing::default()
        })
        .raw(Raw { servers, mode })
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

/// The rights that the README lists for `mode`.
pub(crate) fn rights(mode: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("## Rights").expect("the README has the rights");
    let begin = format!("Mode `{mode}`");
    let (_, after) = after.split_once(&begin).expect("those of each mode");
    let (_, block) = after.split_once("```text").expect("they are a block of text");
    let (rights, _) = block.split_once("```").expect("the block ends");
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Raw {
    servers: RedisServers,
    mode: &'static str,
}

impl Raw {
    async fn command(&self, words: Vec<String>) -> Result<()> {
        self.servers.command(&words).map(drop)
    }
}

#[async_trait]
impl RawAccess for Raw {
    async fn write_foreign(&self, stream: &str) -> Result<()> {
        self.command(vec!["LPUSH".into(), stream.into(), "[\"not ours\"".into()])
            .await
    }

    async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        let key = format!("{{{stream}}}:{}:groups", self.mode);
        self.command(vec!["HDEL".into(), key, group.into()]).await
    }

    async fn trim(&self, stream: &str, keep: u64) -> Result<()> {
        let key = match self.mode {
            "queue" => format!("{{{stream}}}:queue:log"),
            _ => stream.to_owned(),
        };
        self.command(vec!["LTRIM".into(), key, format!("-{keep}"), "-1".into()])
            .await
    }
}
