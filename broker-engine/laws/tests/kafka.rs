//! The laws on Kafka, on one private server.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;

use broker::Brokers;
use broker::kafka::KafkaConfig;
use broker_testkit::servers::{self, KafkaServer};
use engine_laws::{Barred, Kind};
use futures_util::future::{FutureExt as _, LocalBoxFuture, ready};
use tokio::runtime::Runtime;

struct Kafka(KafkaServer);

impl Kind for Kafka {
    fn open(&self, _: &'static str) -> Brokers {
        let config = KafkaConfig::new([self.0.bootstrap_servers()]);
        Brokers::builder().default(config).build().unwrap()
    }

    /// Lets their topic take no message that has a byte.
    fn bar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        self.alter(barred, &["--add-config", "max.message.bytes=1"]);
        ready(()).boxed_local()
    }

    fn unbar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        self.alter(barred, &["--delete-config", "max.message.bytes"]);
        ready(()).boxed_local()
    }
}

impl Kafka {
    /// Changes a setting of the topic of a group's dead letters.
    fn alter(&self, barred: &Barred, change: &[&str]) {
        let topics = self
            .0
            .tool("org.apache.kafka.tools.TopicCommand", &["--list"], "");
        let topics = topics.unwrap();
        let start = format!("{}.{}.dlq-", barred.stream.replace('_', "-"), barred.group);
        let topic = topics.lines().find(|topic| topic.starts_with(&start)).unwrap();
        let words = [&["--alter", "--topic", topic], change].concat();
        self.0.tool("kafka.admin.ConfigCommand", &words, "").unwrap();
    }
}

fn main() -> ExitCode {
    engine_laws::hold(Runtime::new, Kafka(servers::KafkaConfig::new().start().unwrap()))
}
