//! The program on a real RabbitMQ.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

mod support;

use broker_testkit::servers::RabbitMqConfig;

#[test]
fn every_order_is_settled_on_rabbitmq() {
    let server = RabbitMqConfig::new().start().unwrap();
    support::every_order_is_settled("rabbitmq.toml", "AMQP_URL", server.url());
}
