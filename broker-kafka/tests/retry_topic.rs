//! Refused messages that wait in a topic of their group, whatever becomes of whoever refused them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Broker, Message, Settled};
use broker_kafka::KafkaConfig as Settings;
use broker_testkit::NetProxy as _;
use broker_testkit::servers::{KafkaConfig, KafkaServer};

/// For joining, reading and giving up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The process that is killed finds its server here; unset, its test does nothing.
const SERVER: &str = "BROKER_KAFKA_TEST_SERVER";
/// How many messages it handles, if nobody kills it.
const MESSAGES: usize = 600;
/// At which attempt it succeeds.
const ATTEMPTS: u32 = 3;
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

fn open(servers: &str, change: impl FnOnce(&mut Settings)) -> Broker {
    let mut settings = Settings::new([servers.to_owned()]);
    settings.partitions = Some(1);
    settings.session_timeout = Duration::from_secs(6);
    settings.heartbeat_interval = Duration::from_millis(500);
    settings.retry_topic = true;
    change(&mut settings);
    Broker::open(settings).unwrap()
}

async fn take(broker: &Broker, count: usize) -> Vec<Delivery> {
    let until = Instant::now() + PATIENCE;
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        assert!(Instant::now() < until, "{} of {count} came", deliveries.len());
        let wait = Duration::from_secs(1);
        deliveries.extend(broker.read_wait("in", "mover", count, wait).await.unwrap());
    }
    deliveries
}

fn after(delay: Duration) -> NackOptions {
    NackOptions::new().delay(delay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_gives_its_place_up_and_comes_from_the_topic_when_it_is_due() {
    let delay = Duration::from_secs(6);
    let server = KafkaConfig::new().start().unwrap();
    let broker = open(&server.bootstrap_servers(), |_| {});
    for text in ["one", "two", "three"] {
        let message = Message::text(text).key("k").header("trace", text);
        broker.publish("in", message).await.unwrap();
    }
    let mut deliveries = take(&broker, 3).await;
    let refused = deliveries.remove(1);
    for delivery in deliveries {
        delivery.ack().await.unwrap();
    }
    let (id, stored) = (refused.id(), refused.stored_at());
    let due = SystemTime::now() + delay;
    assert_eq!(refused.nack_with(after(delay)).await.unwrap(), Settled::Nacked);
    assert_eq!(
        refused.nack_with(after(delay)).await.unwrap(),
        Settled::AlreadySettled
    );
    drop(refused);
    let [group] = &broker.groups("in").await.unwrap()[..] else {
        panic!("one group")
    };
    assert_eq!((group.pending, group.lag), (1, 0), "it counts as handed out");
    broker.close().await.unwrap();
    let words = ["--describe", "--group", "in/mover"];
    let shown = server.tool(GROUPS, &words, "").unwrap();
    let own = shown
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some("in"));
    let columns: Vec<_> = own.unwrap_or_default().split_whitespace().collect();
    assert_eq!(
        columns.get(3),
        Some(&"3"),
        "nothing before it is held up: {shown}"
    );

    // Another process, and one that was told nothing of the topic.
    let next = open(&server.bootstrap_servers(), |settings| {
        settings.retry_topic = false;
    });
    let again = take(&next, 1).await.remove(0);
    assert!(SystemTime::now() >= due);
    assert_eq!((again.attempt(), again.id(), again.stored_at()), (2, id, stored));
    assert_eq!(again.payload().as_ref(), b"two");
    assert_eq!(again.message().message_key().map(|key| &key[..]), Some(&b"k"[..]));
    let headers: Vec<_> = again.message().headers().iter().collect();
    assert_eq!(headers.len(), 1, "{headers:?}");
    // Now it is held in memory, by the setting; its attempts count on from where they were.
    again.nack_with(after(Duration::ZERO)).await.unwrap();
    let third = take(&next, 1).await.remove(0);
    assert_eq!(third.attempt(), 3);
    next.close().await.unwrap();

    let last = open(&server.bootstrap_servers(), |_| {});
    let fourth = take(&last, 1).await.remove(0);
    assert_eq!(fourth.attempt(), 4);
    assert_eq!(fourth.ack().await.unwrap(), Settled::Acked);
    let [group] = &last.groups("in").await.unwrap()[..] else {
        panic!("one group")
    };
    assert_eq!((group.pending, group.lag), (0, 0));
    last.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_written_to_the_topic_is_held_in_memory() {
    let server = KafkaConfig::new().proxied().start().unwrap();
    let broker = open(&server.bootstrap_servers(), |settings| {
        settings.delivery_timeout = Some(Duration::from_secs(2));
    });
    broker.publish("in", Message::text("tea")).await.unwrap();
    let delivery = take(&broker, 1).await.remove(0);
    let proxy = server.proxy().unwrap();
    proxy.refuse().await.unwrap();
    proxy.cut().await.unwrap();
    let refused = delivery.nack_with(after(Duration::ZERO)).await.unwrap();
    assert_eq!(refused, Settled::Nacked);
    drop(delivery);
    proxy.heal().await.unwrap();
    let again = take(&broker, 1).await.remove(0);
    assert_eq!((again.attempt(), again.payload().as_ref()), (2, &b"tea"[..]));
    again.ack().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_name_that_was_removed_finds_nothing_of_the_one_before() {
    let server = KafkaConfig::new().start().unwrap();
    let broker = open(&server.bootstrap_servers(), |_| {});
    broker.publish("in", Message::text("old")).await.unwrap();
    let delivery = take(&broker, 1).await.remove(0);
    delivery.nack_with(after(PATIENCE)).await.unwrap();
    drop(delivery);
    assert!(broker.delete_group("in", "mover", true).await.unwrap());
    let first = take(&broker, 1).await.remove(0);
    assert_eq!((first.attempt(), first.payload().as_ref()), (1, &b"old"[..]));
    first.ack().await.unwrap();
    let none = broker.read_wait("in", "mover", 1, Duration::from_secs(1)).await;
    assert!(none.unwrap().is_empty());
    broker.close().await.unwrap();
}

/// Refuses every message twice, then tells of it and acks it, until its process is killed.
async fn handler(servers: &str) -> ! {
    let broker = open(servers, |settings| settings.partitions = Some(3));
    loop {
        let wait = Duration::from_secs(1);
        for delivery in broker.read_wait("in", "mover", 20, wait).await.unwrap() {
            if delivery.attempt() < ATTEMPTS {
                delivery
                    .nack_with(after(Duration::from_millis(30)))
                    .await
                    .unwrap();
                continue;
            }
            let told =
                Message::new(delivery.payload().clone()).header("attempt", delivery.attempt().to_string());
            broker.publish("out", told).await.unwrap();
            delivery.ack().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    if let Ok(servers) = std::env::var(SERVER) {
        handler(&servers).await;
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
async fn processes_that_are_killed_while_they_refuse_lose_nothing_and_attempts_count_on() {
    let server = KafkaConfig::new().start().unwrap();
    let broker = open(&server.bootstrap_servers(), |settings| {
        settings.partitions = Some(3);
    });
    let batch = (0..MESSAGES).map(|number| Message::text(number.to_string()).key(format!("k{}", number % 7)));
    let published = broker.publish_batch("in", batch.collect()).await.unwrap();
    assert!(published.all_stored());
    let kills = 4;
    let mut done: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for round in 1..=kills {
        let mut child = spawn(&server);
        hear(&broker, &mut done, round * MESSAGES / 8).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut last = spawn(&server);
    hear(&broker, &mut done, MESSAGES).await;
    // What was handled is all there is: nothing waits in the stream or in the topic.
    let until = Instant::now() + PATIENCE;
    loop {
        let [group] = &broker.groups("in").await.unwrap()[..] else {
            panic!("one group")
        };
        if (group.pending, group.lag) == (0, 0) {
            break;
        }
        assert!(Instant::now() < until, "{group:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    last.kill().unwrap();
    last.wait().unwrap();
    let most = ATTEMPTS + u32::try_from(kills).unwrap();
    for (text, attempts) in &done {
        assert!(
            attempts.iter().all(|attempt| (ATTEMPTS..=most).contains(attempt)),
            "{text} was done at {attempts:?}"
        );
    }
    broker.close().await.unwrap();
}

/// Takes in what was done, until so many different messages are.
async fn hear(broker: &Broker, done: &mut BTreeMap<String, Vec<u32>>, count: usize) {
    let until = Instant::now() + PATIENCE;
    while done.len() < count {
        assert!(Instant::now() < until, "{} of {count} are done", done.len());
        let wait = Duration::from_millis(200);
        for delivery in broker.read_wait("out", "checker", 100, wait).await.unwrap() {
            let text = String::from_utf8_lossy(delivery.payload()).into_owned();
            let attempt = delivery.message().headers().get("attempt").unwrap();
            let attempt = String::from_utf8_lossy(attempt).parse().unwrap();
            done.entry(text).or_default().push(attempt);
            delivery.ack().await.unwrap();
        }
    }
}
