//! What is known of a publish and of a transaction whose answer is lost, and what becomes of it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::time::{Duration, Instant};

use broker_core::{Broker, ErrorKind, Message, Outcome, Retry};
use broker_kafka::KafkaConfig as Settings;
use broker_testkit::NetProxy as _;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// For joining, reading and giving up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kafka's numbers of its calls.
const PRODUCE: i16 = 0;
const END_TXN: i16 = 26;

fn open(server: &KafkaServer) -> Broker {
    let mut settings = Settings::new([server.bootstrap_servers()]);
    settings.partitions = Some(1);
    settings.session_timeout = Duration::from_secs(6);
    settings.heartbeat_interval = Duration::from_millis(500);
    settings.delivery_timeout = Some(Duration::from_secs(3));
    Broker::open(settings).unwrap()
}

/// Reads and acks until nothing more comes for a while; answers the texts and attempts.
async fn drain(broker: &Broker, stream: &str, at_least: usize) -> Vec<(String, u32)> {
    let until = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        assert!(Instant::now() < until, "only {seen:?} of {stream} came");
        let wait = Duration::from_secs(2);
        // The network has just come back.
        let Ok(batch) = broker.read_wait(stream, "checker", 100, wait).await else {
            continue;
        };
        if batch.is_empty() && seen.len() >= at_least {
            return seen;
        }
        for delivery in batch {
            let text = String::from_utf8_lossy(delivery.payload()).into_owned();
            seen.push((text, delivery.attempt()));
            delivery.ack().await.unwrap();
        }
    }
}

async fn publish(broker: &Broker, message: Message) -> Outcome {
    let published = broker.publish_batch("orders", vec![message]).await.unwrap();
    published.outcome(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_not_sent_and_unknown_are_told_apart() {
    let server = KafkaConfig::new().proxied().start().unwrap();
    // Topics that the server makes itself allow a mebibyte.
    server.create_topic("orders", 1).unwrap();
    let broker = open(&server);
    let stored = publish(&broker, Message::text("stored")).await;
    assert!(matches!(stored, Outcome::Stored(_)), "{stored:?}");

    let large = publish(&broker, Message::new(vec![0; 2_000_000])).await;
    let Outcome::NotSent(error) = large else {
        panic!("{large:?}")
    };
    assert_eq!(error.kind(), ErrorKind::TooLarge);

    let proxy = server.proxy().unwrap();
    let mut expected = vec!["stored"];
    for (text, heard) in [("heard", true), ("unheard", false)] {
        proxy.cut_at_call(PRODUCE, heard);
        let lost = publish(&broker, Message::text(text)).await;
        let Outcome::Unknown(error) = lost else {
            panic!("{lost:?}")
        };
        assert_eq!(error.retry_class(), Retry::Unknown, "{error:?}");
        proxy.heal().await.unwrap();
        expected.extend(heard.then_some(text));
    }
    let after = publish(&broker, Message::text("after")).await;
    assert!(matches!(after, Outcome::Stored(_)), "{after:?}");
    expected.push("after");
    let seen = drain(&broker, "orders", expected.len()).await;
    let seen: Vec<_> = seen.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(seen, expected);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_end_was_heard_and_not_answered_took_effect_once() {
    // The answer was lost on its way: all of it is there, and nothing comes again.
    unanswered(true, &[], &["moved"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_end_was_not_heard_comes_again_as_a_whole() {
    unanswered(false, &[("tea", 2)], &[]).await;
}

async fn unanswered(heard: bool, again: &[(&str, u32)], out: &[&str]) {
    let server = KafkaConfig::new().proxied().start().unwrap();
    let broker = open(&server);
    broker.publish("in", Message::text("tea")).await.unwrap();
    let batch = loop {
        let wait = Duration::from_secs(5);
        let batch = broker.read_wait("in", "checker", 1, wait).await.unwrap();
        if !batch.is_empty() {
            break batch;
        }
    };
    let transactor = broker.transactor("mover").await.unwrap();
    let mut transaction = transactor.begin();
    transaction.publish("out", Message::text("moved")).unwrap();
    transaction.ack_batch(&batch).unwrap();
    let proxy = server.proxy().unwrap();
    proxy.cut_at_call(END_TXN, heard);
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.retry_class(), Retry::Unknown, "{error:?}");
    drop(batch);
    proxy.heal().await.unwrap();
    // Whoever reads what is committed waits for what lies open, which the next of the name ends.
    let transactor = loop {
        match broker.transactor("mover").await {
            Ok(transactor) => break transactor,
            Err(error) => assert_ne!(error.retry_class(), Retry::Never, "{error:?}"),
        }
    };
    let mut transaction = transactor.begin();
    transaction.publish("out", Message::text("last")).unwrap();
    transaction.commit().await.unwrap();
    let seen = drain(&broker, "in", again.len()).await;
    let seen: Vec<_> = seen
        .iter()
        .map(|(text, attempt)| (text.as_str(), *attempt))
        .collect();
    assert_eq!(seen, again, "what comes again");
    let seen = drain(&broker, "out", out.len() + 1).await;
    let seen: Vec<_> = seen.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(seen, [out, &["last"]].concat(), "what is seen");
    broker.close().await.unwrap();
}
