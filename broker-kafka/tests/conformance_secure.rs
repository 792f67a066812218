//! Certifies the provider on a private Kafka broker that speaks TLS and has clients log in by SCRAM.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::KafkaConfig;

fn main() -> broker_core::Result<ExitCode> {
    let server = KafkaConfig::new().tls().user("alice", "secret-of-alice");
    let harness = common::harness(server, 4)?
        .set("sasl_mechanism", "SCRAM-SHA-256")
        .setup("4 partitions, TLS, SCRAM");
    Ok(common::suite(harness).main())
}
