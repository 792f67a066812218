//! Certifies the provider on a private Kafka broker, with refused messages that go to a retry topic.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::KafkaConfig;

fn main() -> broker_core::Result<ExitCode> {
    let harness = common::harness(KafkaConfig::new(), 4)?
        .set("retry_topic", true)
        .setup("4 partitions, retry topic");
    Ok(common::suite(harness).main())
}
