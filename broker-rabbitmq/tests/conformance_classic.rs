//! Certifies the provider on a private RabbitMQ server, with classic queues.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::RabbitMqConfig;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(common::harness(RabbitMqConfig::new(), "classic")?).main())
}
