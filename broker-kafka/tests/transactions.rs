//! What Kafka makes visible together, with another client looking on.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use broker_core::{Broker, ErrorKind, Message};
use broker_kafka::{Isolation, KafkaConfig as Settings};
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// For joining, reading and giving up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The process that is killed finds its server here; unset, its test does nothing.
const SERVER: &str = "BROKER_KAFKA_TEST_SERVER";
/// How many messages it moves, if nobody kills it.
const MESSAGES: usize = 3_000;

fn open(servers: &str) -> Broker {
    open_with(servers, |_| {})
}

fn open_with(servers: &str, change: impl FnOnce(&mut Settings)) -> Broker {
    let mut settings = Settings::new([servers.to_owned()]);
    settings.partitions = Some(3);
    settings.session_timeout = Duration::from_secs(6);
    settings.heartbeat_interval = Duration::from_millis(500);
    change(&mut settings);
    Broker::open(settings).unwrap()
}

/// Reads until nothing more comes for a while; answers how often each text came.
async fn texts(broker: &Broker, stream: &str, at_least: usize) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    let until = Instant::now() + PATIENCE;
    let mut seen = 0;
    loop {
        let wait = if seen < at_least {
            PATIENCE
        } else {
            Duration::from_secs(1)
        };
        let batch = broker.read_wait(stream, "checker", 500, wait).await.unwrap();
        if batch.is_empty() && seen >= at_least {
            return texts;
        }
        assert!(Instant::now() < until, "{seen} of {at_least} came");
        for delivery in batch {
            seen += 1;
            *texts
                .entry(String::from_utf8_lossy(delivery.payload()).into_owned())
                .or_default() += 1;
            delivery.ack().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_then_fails_is_seen_by_nobody_who_reads_what_is_committed() {
    let server = KafkaConfig::new().start().unwrap();
    let servers = server.bootstrap_servers();
    let broker = open(&servers);
    broker.publish("in", Message::text("1").key("k")).await.unwrap();
    broker.publish("in", Message::text("2").key("k")).await.unwrap();
    let batch = broker.read_wait("in", "mover", 2, PATIENCE).await.unwrap();
    let deliveries: Vec<_> = batch.into_iter().collect();
    let transactor = broker.transactor("mover").await.unwrap();
    // Messages are sent, and confirmed, before the deliveries are looked at: one of these is not in hand any more.
    deliveries[0].ack().await.unwrap();
    let mut transaction = transactor.begin();
    transaction.publish("out", Message::text("sent")).unwrap();
    transaction.ack(&deliveries[0]).unwrap();
    transaction.ack(&deliveries[1]).unwrap();
    assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Stale);
    let mut transaction = transactor.begin();
    transaction.publish("out", Message::text("committed")).unwrap();
    transaction.ack(&deliveries[1]).unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(
        texts(&broker, "out", 1).await.into_keys().collect::<Vec<_>>(),
        ["committed"]
    );
    // It was sent all the same, as who reads everything sees.
    let all = open_with(&servers, |settings| {
        settings.isolation = Isolation::ReadUncommitted;
    });
    let mut listener = all
        .listen("out")
        .start_at(broker_core::StartPosition::Earliest)
        .start()
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = tokio::time::timeout(PATIENCE, listener.next_batch())
            .await
            .unwrap();
        seen.extend(
            batch
                .unwrap()
                .unwrap()
                .iter()
                .map(|delivery| delivery.payload().clone()),
        );
    }
    seen.sort();
    assert_eq!(seen, ["committed".as_bytes(), b"sent"]);
    drop(listener);
    all.close().await.unwrap();
    // What was settled in the transaction is the server's knowledge, not this process's.
    broker.close().await.unwrap();
    let next = open(&servers);
    assert!(
        next.read_wait("in", "mover", 1, Duration::from_secs(3))
            .await
            .unwrap()
            .is_empty()
    );
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_beyond_a_gap_stay_settled_when_the_consumer_is_replaced() {
    let server = KafkaConfig::new().start().unwrap();
    let servers = server.bootstrap_servers();
    let broker = open(&servers);
    for number in 0..5 {
        broker
            .publish("in", Message::text(number.to_string()).key("k"))
            .await
            .unwrap();
    }
    let mut deliveries = Vec::new();
    while deliveries.len() < 5 {
        deliveries.extend(broker.read_wait("in", "mover", 5, PATIENCE).await.unwrap());
    }
    let transactor = broker.transactor("gaps").await.unwrap();
    let mut transaction = transactor.begin();
    for index in [0, 2, 4] {
        transaction.ack(&deliveries[index]).unwrap();
    }
    transaction.commit().await.unwrap();
    drop(deliveries);
    broker.close().await.unwrap();
    let next = open(&servers);
    let mut again = Vec::new();
    while again.len() < 2 {
        for delivery in next.read_wait("in", "mover", 5, PATIENCE).await.unwrap() {
            assert_eq!(delivery.attempt(), 2);
            again.push(delivery.payload().clone());
            delivery.ack().await.unwrap();
        }
    }
    assert_eq!(again, ["1".as_bytes(), b"3"]);
    assert!(
        next.read_wait("in", "mover", 1, Duration::from_secs(1))
            .await
            .unwrap()
            .is_empty()
    );
    next.close().await.unwrap();
}

/// Moves messages from `in` to `out` in transactions, until its process is killed.
async fn mover(servers: &str) -> ! {
    let broker = open(servers);
    let transactor = broker.transactor("mover").await.unwrap();
    loop {
        let batch = broker
            .read_wait("in", "mover", 20, Duration::from_secs(1))
            .await
            .unwrap();
        let mut transaction = transactor.begin();
        for delivery in batch.iter() {
            transaction
                .publish("out", Message::new(delivery.payload().clone()))
                .unwrap();
        }
        transaction.ack_batch(&batch).unwrap();
        if let Err(error) = transaction.commit().await {
            // What was taken away comes again, to whoever has the partition.
            assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    if let Ok(servers) = std::env::var(SERVER) {
        mover(&servers).await;
    }
}

fn spawn(server: &KafkaServer) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--test-threads=1"])
        .env(SERVER, server.bootstrap_servers())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_at_any_point_move_every_message_once() {
    let server = KafkaConfig::new().start().unwrap();
    let servers = server.bootstrap_servers();
    let broker = open(&servers);
    let batch = (0..MESSAGES).map(|number| Message::text(number.to_string()).key(format!("k{}", number % 7)));
    let published = broker.publish_batch("in", batch.collect()).await.unwrap();
    assert!(published.all_stored());
    // Each is killed somewhere between reading, publishing and committing; the next one fences it.
    for round in 0..4 {
        let mut child = spawn(&server);
        let deadline = Instant::now() + PATIENCE;
        while moved(&broker).await <= round * 200 && Instant::now() < deadline {}
        tokio::time::sleep(Duration::from_millis(37 * round as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut last = spawn(&server);
    let out = texts(&broker, "out", MESSAGES).await;
    last.kill().unwrap();
    last.wait().unwrap();
    let repeated: Vec<_> = out.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!((out.len(), repeated), (MESSAGES, vec![]));
    broker.close().await.unwrap();
}

/// How many messages came out so far, those included that will never be seen.
async fn moved(broker: &Broker) -> usize {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let partitions = broker.partitions("out", "counter").await;
    partitions.map_or(0, |partitions| {
        partitions
            .iter()
            .map(|partition| usize::try_from(partition.lag).unwrap())
            .sum()
    })
}
