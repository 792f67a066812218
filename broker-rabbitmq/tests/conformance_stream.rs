//! Certifies the provider on a private RabbitMQ server, where all groups of a stream read one log.

mod common;

use std::process::ExitCode;

use broker_testkit::Limits;
use broker_testkit::servers::RabbitMqConfig;

fn main() -> broker_core::Result<ExitCode> {
    let harness = common::harness(RabbitMqConfig::new(), "stream")?.limits(Limits {
        // One member process at a time has all of a group's messages.
        partitions: Some(1),
        ..Limits::default()
    });
    Ok(common::suite(harness).main())
}
