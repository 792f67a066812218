//! The conformance suite on a private Kafka broker.

use std::time::Duration;

use broker_core::Result;
use broker_kafka::PROVIDER;
use broker_testkit::servers::{KafkaConfig, KafkaServer, ServerHarness};
use broker_testkit::{Limits, Part, Suite, Timing};

/// A server that is set up like this, and streams with so many partitions.
pub(crate) fn harness(server: KafkaConfig, partitions: u32) -> Result<ServerHarness<KafkaServer>> {
    let harness = ServerHarness::new(&PROVIDER, server.proxied().start()?)
        .set("partitions", i64::from(partitions))
        .set("session_timeout", "6s")
        .set("heartbeat_interval", "500ms")
        .set("idle_timeout", "1s")
        .limits(Limits {
            partitions: Some(partitions),
            ..Limits::default()
        })
        // The network goes through a proxy, and the machine may be busy.
        .timing(Timing {
            // Ten times the interval of commits.
            ack_lag: Duration::from_secs(1),
            scale: 3.0,
            ..Timing::default()
        });
    Ok(harness)
}

/// The suite, without what Kafka's adapters need no part for.
pub(crate) fn suite(harness: ServerHarness<KafkaServer>) -> Suite {
    Suite::new(harness)
        .absent(Part::Clock, "leases go by the process's own clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        )
        .absent(Part::Raw, "nothing reaches the log past the adapter")
}
