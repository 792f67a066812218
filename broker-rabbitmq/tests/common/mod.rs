//! The conformance suite on a private RabbitMQ server.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::time::Duration;

use broker_core::Result;
use broker_rabbitmq::PROVIDER;
use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer, ServerHarness};
use broker_testkit::{Part, Suite, Timing};

/// A server that is set up like this, and queues of that type.
pub(crate) fn harness(server: RabbitMqConfig, queue_type: &str) -> Result<ServerHarness<RabbitMqServer>> {
    let harness = ServerHarness::new(&PROVIDER, server.proxied().start()?)
        .set("queue_type", queue_type)
        // Most laws publish to streams whose groups do not matter to them.
        .set("mandatory", false)
        .mode(queue_type)
        // The network goes through a proxy, and the machine may be busy.
        .timing(Timing {
            // `basic.ack` has no answer.
            ack_lag: Duration::from_secs(1),
            scale: 3.0,
            ..Timing::default()
        });
    Ok(harness)
}

/// The suite, without what this adapter needs no part for.
pub(crate) fn suite(harness: ServerHarness<RabbitMqServer>) -> Suite {
    Suite::new(harness)
        .absent(Part::Clock, "leases go by the process's own clock")
        .absent(
            Part::ConsumerProcess,
            "consumers of this suite live in its process",
        )
        .absent(Part::Raw, "nothing reaches the queues past the adapter")
}
