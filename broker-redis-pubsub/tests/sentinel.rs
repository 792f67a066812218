//! Certifies each mode on a private server with a replica, found by a Sentinel.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::{RedisConfig, RedisReplica};

fn main() -> ExitCode {
    common::told(
        RedisReplica::start(&RedisConfig::new().durable())
            .map(|servers| common::arranged(servers, "sentinel")),
    )
}
