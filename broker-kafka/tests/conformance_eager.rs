//! Certifies the provider on a private Kafka broker, with members that are given all their partitions anew each time.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::KafkaConfig;

fn main() -> broker_core::Result<ExitCode> {
    let harness = common::harness(KafkaConfig::new(), 6)?
        .set("assignment", "roundrobin")
        .setup("6 partitions, eager");
    Ok(common::suite(harness).main())
}
