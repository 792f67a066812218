//! Certifies the provider on a private Redis server.

use std::process::ExitCode;

use broker_redis_streams::PROVIDER;
use broker_testkit::Suite;
use broker_testkit::servers::{RedisConfig, RedisHarness};

fn main() -> ExitCode {
    let harness = RedisConfig::new()
        .append_only()
        .start()
        .and_then(|server| RedisHarness::new(&PROVIDER, server).proxied());
    match harness {
        Ok(harness) => Suite::new(harness).main(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
