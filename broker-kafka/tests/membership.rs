//! Groups that are left and entered again, at any pace, go on being read.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use broker_core::{Broker, Message};
use broker_kafka::KafkaConfig as Settings;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// After so long the server forgets a member that went without a word; nothing here may wait for that.
const SILENCE: Duration = Duration::from_secs(45);
/// For joining and reading, on a busy machine. What blocks until its own time is up takes ten seconds at least.
const PATIENCE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_subscription_is_dropped_is_read_by_the_next_one() {
    let server = KafkaConfig::new().start().unwrap();
    let broker = open(&server);
    for pause in pauses() {
        let stream = format!("dropped.{}", pause.as_millis());
        drop(broker.subscribe(&stream, "billing").start().await.unwrap());
        tokio::time::sleep(pause).await;
        reads(&broker, &stream, pause).await;
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_broker_is_closed_while_it_joins_is_read_by_another_broker() {
    let server = KafkaConfig::new().start().unwrap();
    let next = open(&server);
    for pause in pauses() {
        let stream = format!("closed.{}", pause.as_millis());
        let first = open(&server);
        drop(first.subscribe(&stream, "billing").start().await.unwrap());
        tokio::time::sleep(pause).await;
        first.close().await.unwrap();
        reads(&next, &stream, pause).await;
    }
    next.close().await.unwrap();
}

/// From while the group is being joined to after it was left for want of readers.
fn pauses() -> impl Iterator<Item = Duration> {
    (0..=12).map(|step| Duration::from_millis(50 * step))
}

fn open(server: &KafkaServer) -> Broker {
    let mut settings = Settings::new([server.bootstrap_servers()]);
    settings.partitions = Some(4);
    settings.session_timeout = SILENCE;
    Broker::open(settings).unwrap()
}

async fn reads(broker: &Broker, stream: &str, pause: Duration) {
    broker.publish(stream, Message::text("tea")).await.unwrap();
    let start = Instant::now();
    let batch = broker.read_wait(stream, "billing", 1, PATIENCE).await.unwrap();
    let took = start.elapsed();
    assert_eq!(
        batch.len(),
        1,
        "after a pause of {pause:?} nothing came in {took:?}"
    );
    for delivery in batch {
        delivery.ack().await.unwrap();
    }
}
