//! Java's clients and ours understand each other.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use broker_core::{Broker, Message};
use broker_kafka as _;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// How long all messages may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_groups_are_the_same_to_java_and_to_us() {
    let server = KafkaConfig::new().start().unwrap();
    server.create_topic("orders", 1).unwrap();

    produce(&server, "trace:7,source:java\tcustomer-3\tone coffee\n");
    produce(&server, "trace:8\tcustomer-3\tNULL\n");
    let broker = Broker::connect(&server.url()).await.unwrap();
    let mut read = Vec::new();
    let until = Instant::now() + PATIENCE;
    while read.len() < 2 {
        assert!(Instant::now() < until, "only {} came", read.len());
        for delivery in broker.read("orders", "billing", 10).await.unwrap() {
            read.push(delivery.message().clone());
            delivery.ack().await.unwrap();
        }
    }
    let [coffee, nothing] = read.as_slice() else {
        panic!("two records, not {}", read.len())
    };
    assert_eq!(coffee.payload().as_ref(), b"one coffee");
    assert_eq!(header(coffee, "trace"), "7");
    assert_eq!(header(coffee, "source"), "java");
    assert!(nothing.payload().is_empty());
    assert_eq!(header(nothing, "trace"), "8");
    for message in &read {
        assert_eq!(
            message.message_key().map(|key| key.as_ref()),
            Some(&b"customer-3"[..])
        );
    }

    let tea = Message::text("two teas").key("customer-9").header("trace", "9");
    broker.publish("orders", tea).await.unwrap();
    let words = [
        "--topic",
        "orders",
        "--offset",
        "2",
        "--partition",
        "0",
        "--max-messages",
        "1",
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "print.headers=true",
    ];
    let seen = server.tool(CONSUMER, &words, "").unwrap();
    assert!(seen.contains("trace:9"), "{seen}");
    assert!(seen.ends_with("\tcustomer-9\ttwo teas\n"), "{seen}");

    // What was committed is on the server at the latest when the broker is closed.
    broker.close().await.unwrap();
    let described = server
        .tool(GROUPS, &["--describe", "--group", "orders/billing"], "")
        .unwrap();
    let line = described.lines().find(|line| line.starts_with("orders/billing"));
    let columns: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
    // Group, topic, partition, committed offset, end of the log, lag.
    let Some([group, topic, "0", committed, end, lag]) = columns.first_chunk::<6>() else {
        panic!("{described}")
    };
    assert_eq!((*group, *topic), ("orders/billing", "orders"));
    assert_eq!((*committed, *end, *lag), ("2", "3", "1"), "{described}");
}

/// Writes records of a line each: headers, key and value.
fn produce(server: &KafkaServer, lines: &str) {
    let words = [
        "--topic",
        "orders",
        "--reader-property",
        "parse.headers=true",
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "null.marker=NULL",
    ];
    server.tool(PRODUCER, &words, lines).unwrap();
}

fn header(message: &Message, name: &str) -> String {
    let value = message.headers().get(name).map(|value| value.to_vec());
    String::from_utf8(value.unwrap_or_default()).unwrap()
}
