//! The program on a real Kafka.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

mod support;

use broker_testkit::servers::KafkaConfig;

#[test]
fn every_order_is_settled_on_kafka() {
    let server = KafkaConfig::new().start().unwrap();
    support::every_order_is_settled("kafka.toml", "KAFKA_SERVERS", server.bootstrap_servers());
}
