//! Certifies the provider on a private server with a replica, found by a Sentinel.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::{RedisConfig, RedisReplica};

fn main() -> broker_core::Result<ExitCode> {
    let pair = RedisReplica::start(&RedisConfig::new().durable())?;
    Ok(common::arranged(pair, "sentinel", 1).main())
}
