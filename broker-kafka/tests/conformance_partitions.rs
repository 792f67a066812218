//! Certifies the provider on a private Kafka broker, with streams of four partitions.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::KafkaConfig;

fn main() -> broker_core::Result<ExitCode> {
    Ok(common::suite(common::harness(KafkaConfig::new(), 4)?.setup("4 partitions")).main())
}
