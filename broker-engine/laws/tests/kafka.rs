//! The laws on Kafka, on one private server.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;

use broker::Brokers;
use broker::kafka::KafkaConfig;
use broker_testkit::servers;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let server = servers::KafkaConfig::new().start().unwrap();
    engine_laws::hold(Runtime::new, move |_| {
        let config = KafkaConfig::new([server.bootstrap_servers()]);
        Brokers::builder().default(config).build().unwrap()
    })
}
