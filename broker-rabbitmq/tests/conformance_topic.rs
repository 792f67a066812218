//! Certifies the provider on a private RabbitMQ server, with streams that share one topic exchange.

mod common;

use std::process::ExitCode;

use broker_testkit::servers::RabbitMqConfig;

fn main() -> broker_core::Result<ExitCode> {
    let harness = common::harness(RabbitMqConfig::new(), "quorum")?
        .setup("one topic exchange")
        .set("exchange", "events")
        .set("exchange_type", "topic");
    Ok(common::suite(harness).main())
}
