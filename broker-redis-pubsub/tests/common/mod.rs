//! The conformance suite on a private Redis server.

use std::process::ExitCode;
use std::time::Duration;

use broker_core::{Result, async_trait};
use broker_redis_pubsub::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisHarness, RedisServer};
use broker_testkit::{Part, RawAccess, Suite, Timing};

/// Runs the suite on `mode`.
#[expect(
    clippy::print_stderr,
    reason = "a test program without a harness has no other way to say why"
)]
pub(crate) fn conformance(mode: &'static str) -> ExitCode {
    match suite(mode) {
        Ok(suite) => suite.main(),
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

fn suite(mode: &'static str) -> Result<Suite> {
    let server = RedisConfig::new().durable().start()?;
    let timing = Timing {
        lease: Duration::from_millis(500),
        ..Timing::default()
    };
    let raw = Raw {
        server: server.clone(),
        mode,
    };
    let harness = RedisHarness::new(&PROVIDER, server)
        .mode(mode)
        .timing(timing)
        .raw(raw)
        .proxied()?;
    Ok(Suite::new(harness)
        .absent(Part::Clock, "leases go by the server's clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        ))
}

struct Raw {
    server: RedisServer,
    mode: &'static str,
}

impl Raw {
    async fn command(&self, words: Vec<String>) -> Result<()> {
        self.server.command(&words).map(drop)
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
