//! The order of each key, whoever reads: after failures, after a take-over, after the server was killed.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::config::BrokerConfig;
use broker_core::{Broker, Capabilities, Error, ErrorKind, Message, Settled, Subscription};
use broker_rabbitmq::{QueueType, RabbitMqConfig as Settings};
use broker_testkit::NetProxy as _;
use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer};
use tokio::time::{Instant, timeout};

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

const KEYS: u64 = 4;

fn broker(server: &RabbitMqServer) -> Broker {
    let settings = Settings {
        single_active_consumer: true,
        // So few that messages wait at the server, too.
        prefetch_count: 64,
        ..Settings::new(&server.url()).unwrap()
    };
    let common = BrokerConfig {
        max_retries: 1_000,
        ..BrokerConfig::default()
    };
    Broker::open_with("default", common, settings).unwrap()
}

async fn join(broker: &Broker) -> Subscription {
    let joining = broker.subscribe("orders", "billing").sequential().prefetch(64);
    joining.start().await.unwrap()
}

/// Publishes so many messages, which take turns in their keys.
async fn publish(broker: &Broker, numbers: std::ops::Range<u64>) {
    let messages =
        numbers.map(|number| Message::text(number.to_string()).key((number % KEYS).to_string().into_bytes()));
    let published = broker.publish_batch("orders", messages.collect()).await.unwrap();
    assert!(published.all_stored());
}

/// The next message, however often reading fails until it comes.
async fn next(subscription: &mut Subscription) -> Delivery {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "nothing came");
        if let Ok(Some(Ok(delivery))) = timeout(Duration::from_secs(1), subscription.next()).await {
            return delivery;
        }
    }
}

fn number(delivery: &Delivery) -> u64 {
    String::from_utf8_lossy(delivery.payload()).parse().unwrap()
}

/// What was handled of each key, in order.
#[derive(Default)]
struct Handled(BTreeMap<u64, Vec<u64>>);

impl Handled {
    fn note(&mut self, number: u64) {
        self.0.entry(number % KEYS).or_default().push(number);
    }

    fn len(&self) -> u64 {
        self.0.values().map(|of_key| of_key.len() as u64).sum()
    }

    fn check(&self, count: u64) {
        for (key, of_key) in &self.0 {
            let expected: Vec<_> = (0..count).filter(|number| number % KEYS == *key).collect();
            assert_eq!(*of_key, expected, "key {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_is_in_order_over_failures_and_members_that_come_and_go() {
    const COUNT: u64 = 400;
    let server = RabbitMqConfig::new().start().unwrap();
    let first = broker(&server);
    assert!(first.has_capability(Capabilities::ORDERED_MESSAGING));
    first.read("orders", "billing", 0).await.unwrap();
    publish(&first, 0..COUNT).await;
    let mut handled = Handled::default();
    for round in 0..u64::MAX {
        let broker = broker(&server);
        let mut subscription = join(&broker).await;
        for turn in 0..60 {
            if handled.len() == COUNT {
                break;
            }
            let delivery = next(&mut subscription).await;
            let number = number(&delivery);
            if (number + turn + round).is_multiple_of(5) {
                let delay = Duration::from_millis(number % 7 * 5);
                delivery.nack_with(NackOptions::new().delay(delay)).await.unwrap();
            } else {
                handled.note(number);
                assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
            }
        }
        // One leaves in good order and the next is gone at once.
        if round % 2 == 0 {
            subscription.close().await.unwrap();
            broker.close().await.unwrap();
        }
        if handled.len() == COUNT {
            break;
        }
    }
    handled.check(COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_over_begins_where_the_other_was_and_late_acks_are_stale() {
    let server = RabbitMqConfig::new().proxied().start().unwrap();
    let (one, other) = (broker(&server), broker(&server));
    one.read("orders", "billing", 0).await.unwrap();
    publish(&one, 0..40).await;
    let mut held = one.read_wait("orders", "billing", 40, PATIENCE).await.unwrap();
    let late = held.next().unwrap();
    assert_eq!(number(&late), 0);
    let mut waiting = join(&other).await;
    let taking_over = tokio::spawn(async move {
        let mut handled = Handled::default();
        while handled.len() < 40 {
            let delivery = next(&mut waiting).await;
            handled.note(number(&delivery));
            delivery.ack().await.unwrap();
        }
        handled
    });
    server.proxy().unwrap().cut().await.unwrap();
    taking_over.await.unwrap().check(40);
    assert_eq!(late.ack().await.unwrap(), Settled::Stale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_go_on_counting_when_process_and_server_are_gone() {
    let server = RabbitMqConfig::new().start().unwrap();
    let first = broker(&server);
    first.read("orders", "billing", 0).await.unwrap();
    publish(&first, 0..1).await;
    let mut subscription = join(&first).await;
    for attempt in 1..=3 {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.attempt(), attempt);
        delivery.nack().await.unwrap();
    }
    server.kill().unwrap();
    drop((subscription, first));
    let restarting = server.clone();
    tokio::task::spawn_blocking(move || restarting.restart())
        .await
        .unwrap()
        .unwrap();
    let second = broker(&server);
    let mut subscription = join(&second).await;
    let delivery = next(&mut subscription).await;
    // Whether it was handed out a fourth time when the end came is not told.
    assert!((4..=5).contains(&delivery.attempt()), "{}", delivery.attempt());
    assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_a_failing_message_is_not_worn_out_by_crash_after_crash() {
    let server = RabbitMqConfig::new().start().unwrap();
    let keeper = broker(&server);
    keeper.read("orders", "billing", 0).await.unwrap();
    publish(&keeper, 0..2 * KEYS).await;
    for attempt in 1..=5 {
        let crashing = broker(&server);
        let mut subscription = join(&crashing).await;
        let delivery = next(&mut subscription).await;
        assert_eq!((number(&delivery), delivery.attempt()), (0, attempt));
        let later = NackOptions::new().delay(Duration::from_secs(3_600));
        delivery.nack_with(later).await.unwrap();
    }
    let last = broker(&server);
    let mut subscription = join(&last).await;
    for _ in 0..2 * KEYS {
        let delivery = next(&mut subscription).await;
        match number(&delivery) {
            0 => assert_eq!(delivery.attempt(), 6),
            behind if behind % KEYS == 0 => assert!(delivery.attempt() <= 2, "{}", delivery.attempt()),
            // Of other keys; those were handed out, and nobody settled them.
            _ => {}
        }
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn order_is_asked_of_queues_that_can_keep_it() {
    for (queue_type, declare) in [(QueueType::Classic, true), (QueueType::Quorum, false)] {
        let settings = Settings {
            single_active_consumer: true,
            queue_type,
            declare,
            ..Settings::default()
        };
        let refused: Error = Broker::open(settings).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(
            refused.to_string().contains("single_active_consumer"),
            "{refused}"
        );
    }
}
