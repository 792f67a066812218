//! Certifies the provider on a private cluster of three nodes, with streams of four partitions.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::{RedisCluster, RedisConfig};

fn main() -> broker_core::Result<ExitCode> {
    let cluster = RedisCluster::start(&RedisConfig::new().durable())?;
    Ok(common::arranged(cluster, "cluster, 4 partitions", 4).main())
}
