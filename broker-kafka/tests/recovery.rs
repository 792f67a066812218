//! A consumer that brings nothing, and one that failed for good, are replaced.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use broker_core::{Broker, HealthStatus, Message};
use broker_kafka::KafkaConfig as Settings;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_consumer_degrades_health_and_is_replaced() {
    let server = KafkaConfig::new().start().unwrap();
    let mut settings = settings(&server);
    settings.silence_timeout = Duration::from_secs(2);
    // The server holds back what is less than this, for so long.
    settings.response_timeout = Duration::from_secs(120);
    for (key, value) in [("fetch.min.bytes", "100000"), ("fetch.wait.max.ms", "100000")] {
        settings.kafka.insert(key.to_owned(), value.into());
    }
    let broker = Broker::open(settings).unwrap();
    assert!(broker.read("orders", "billing", 1).await.unwrap().is_empty());
    broker.publish("orders", Message::text("tea")).await.unwrap();

    let until = Instant::now() + PATIENCE;
    while !says_silent(&broker).await {
        assert!(Instant::now() < until, "health has nothing to say");
        assert!(broker.read("orders", "billing", 1).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(broker.health_stats().await.status, HealthStatus::Degraded);
    loop {
        assert!(broker.read("orders", "billing", 1).await.unwrap().is_empty());
        let owned = broker.partitions("orders", "billing").await.unwrap();
        // Each owner raises it.
        if owned.iter().all(|partition| partition.generation > 1) {
            break;
        }
        assert!(Instant::now() < until, "{owned:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(says_silent(&broker).await, "until something comes");
    broker
        .publish("orders", Message::new(vec![0; 200_000]))
        .await
        .unwrap();
    let batch = broker.read_wait("orders", "billing", 1, PATIENCE).await.unwrap();
    assert_eq!(batch.len(), 1);
    for delivery in batch {
        delivery.ack().await.unwrap();
    }
    assert!(!says_silent(&broker).await);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_waits_for_messages_is_not_silent() {
    let server = KafkaConfig::new().start().unwrap();
    let mut settings = settings(&server);
    // Longer than the first message takes on a busy machine.
    settings.silence_timeout = Duration::from_secs(3);
    let broker = Broker::open(settings).unwrap();
    broker.publish("orders", Message::text("tea")).await.unwrap();
    for delivery in broker.read_wait("orders", "billing", 1, PATIENCE).await.unwrap() {
        delivery.ack().await.unwrap();
    }
    // Replaced it would be half as long later.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        let wait = Duration::from_millis(200);
        let batch = broker.read_wait("orders", "billing", 1, wait).await.unwrap();
        assert!(batch.is_empty());
        assert!(!says_silent(&broker).await);
    }
    let owned = broker.partitions("orders", "billing").await.unwrap();
    assert!(
        owned.iter().all(|partition| partition.generation == 1),
        "{owned:?}"
    );
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_failed_for_good_is_replaced() {
    let server = KafkaConfig::new().start().unwrap();
    let open = || {
        let mut settings = settings(&server);
        // Two of one name: the server fences the first, which ends its client for good.
        settings
            .kafka
            .insert("group.instance.id".to_owned(), "same".into());
        Broker::open(settings).unwrap()
    };
    let (first, second) = (open(), open());
    first.publish("orders", Message::text("one")).await.unwrap();
    settles(&first).await;
    second.publish("orders", Message::text("two")).await.unwrap();
    settles(&second).await;
    second.close().await.unwrap();
    first.publish("orders", Message::text("three")).await.unwrap();
    settles(&first).await;
    first.close().await.unwrap();
}

async fn settles(broker: &Broker) {
    let until = Instant::now() + PATIENCE;
    loop {
        let wait = Duration::from_secs(1);
        let batch = broker.read_wait("orders", "billing", 1, wait).await;
        if let Some(delivery) = batch.into_iter().flatten().next() {
            delivery.ack().await.unwrap();
            return;
        }
        assert!(Instant::now() < until, "nothing came");
    }
}

async fn says_silent(broker: &Broker) -> bool {
    let health = broker.health_stats().await;
    let mut details = health.details.iter();
    details.any(|(_, value)| value.contains("nothing comes although"))
}

fn settings(server: &KafkaServer) -> Settings {
    let mut settings = Settings::new([server.bootstrap_servers()]);
    settings.partitions = Some(1);
    settings
}
