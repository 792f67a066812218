//! What an ack is worth while the group takes no commits.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use broker_core::{Broker, Message, Settled};
use broker_kafka::KafkaConfig as Settings;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_waits_for_commits_that_are_late() {
    let server = KafkaConfig::new().start().unwrap();
    let broker = open(&server);
    broker
        .publish_batch("orders", ["one", "two", "three"].map(Message::text).into())
        .await
        .unwrap();
    let mut deliveries = Vec::new();
    let until = Instant::now() + PATIENCE;
    while deliveries.len() < 3 {
        assert!(Instant::now() < until, "{} came", deliveries.len());
        let batch = broker
            .read_wait("orders", "billing", 3, Duration::from_secs(1))
            .await;
        deliveries.extend(batch.unwrap());
    }

    server.pause().unwrap();
    assert_eq!(
        deliveries[0].ack().await.unwrap(),
        Settled::Acked,
        "nothing is late yet"
    );
    while !says_late(&broker).await {
        assert!(Instant::now() < until, "health has nothing to say");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    {
        let mut second = std::pin::pin!(deliveries[1].ack());
        let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
        assert!(early.is_err(), "{early:?}, and nobody can write it down");
        server.resume().unwrap();
        assert_eq!(second.await.unwrap(), Settled::Acked);
    }
    assert!(!says_late(&broker).await);
    drop(deliveries);
    broker.close().await.unwrap();

    let later = open(&server);
    let batch = later.read_wait("orders", "billing", 3, PATIENCE).await.unwrap();
    let left: Vec<_> = batch.iter().map(|delivery| delivery.payload().clone()).collect();
    assert_eq!(left, ["three"]);
    drop(batch);
    later.close().await.unwrap();
}

async fn says_late(broker: &Broker) -> bool {
    let health = broker.health_stats().await;
    let mut details = health.details.iter();
    details.any(|(_, value)| value.contains("takes no commit"))
}

fn open(server: &KafkaServer) -> Broker {
    let mut settings = Settings::new([server.bootstrap_servers()]);
    settings.partitions = Some(1);
    settings.commit_grace = Duration::from_secs(3);
    Broker::open(settings).unwrap()
}
