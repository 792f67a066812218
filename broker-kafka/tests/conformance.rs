//! Certifies the provider on a private Kafka broker, with streams of one partition.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::KafkaConfig;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(common::harness(KafkaConfig::new(), 1)?).main())
}
