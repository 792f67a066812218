//! Certifies each mode on a private cluster of three nodes.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::{RedisCluster, RedisConfig};

fn main() -> ExitCode {
    common::told(
        RedisCluster::start(&RedisConfig::new().durable())
            .map(|servers| common::arranged(servers, "cluster")),
    )
}
