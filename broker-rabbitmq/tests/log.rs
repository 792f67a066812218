//! Groups that read one log: late ones, moved ones, taken over, and what retention leaves of it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{
    Broker, BrokerEvent, Capabilities, Error, ErrorKind, Message, MessageId, Settled, StartPosition,
};
use broker_rabbitmq::{QueueType, RabbitMqConfig as Settings};
use broker_testkit::NetProxy as _;
use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer};
use tokio::time::Instant;

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn broker(server: &RabbitMqServer) -> Broker {
    open(server, |_| {}).unwrap()
}

fn open(server: &RabbitMqServer, set: impl FnOnce(&mut Settings)) -> Result<Broker, Error> {
    let mut settings = Settings {
        queue_type: QueueType::Stream,
        ..Settings::new(&server.url())?
    };
    set(&mut settings);
    Broker::open(settings)
}

async fn publish(broker: &Broker, numbers: std::ops::Range<u64>) {
    let messages = numbers.map(|number| Message::text(number.to_string()).key("k"));
    let published = broker.publish_batch("orders", messages.collect()).await.unwrap();
    assert!(published.all_stored());
}

/// The next deliveries, however often reading fails until they come.
async fn take(broker: &Broker, group: &str, count: usize) -> Vec<Delivery> {
    let (until, mut taken) = (Instant::now() + PATIENCE, Vec::new());
    while taken.len() < count {
        assert!(Instant::now() < until, "{} of {count} came", taken.len());
        let (most, wait) = (count - taken.len(), Duration::from_millis(500));
        if let Ok(came) = broker.read_wait("orders", group, most, wait).await {
            taken.extend(came);
        }
    }
    taken
}

fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
    let texts = deliveries
        .iter()
        .map(|delivery| String::from_utf8_lossy(delivery.payload()).into_owned());
    texts.map(|text| text.parse().unwrap()).collect()
}

async fn ack(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_group_begins_where_it_asks_to_and_what_is_settled_stays_for_it() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = broker(&server);
    assert!(broker.has_capability(Capabilities::ORDERED_MESSAGING | Capabilities::REPLAY));
    // Nobody reads yet, and still it is stored.
    publish(&broker, 0..20).await;
    ack(take(&broker, "first", 20).await).await;
    let at = |offset| StartPosition::Id(MessageId::Offset { partition: 0, offset });
    for (group, start, from) in [
        ("earliest", StartPosition::Earliest, 0),
        ("offset", at(13), 13),
        ("beyond", at(1_000), 20),
        ("latest", StartPosition::Latest, 20),
    ] {
        assert!(
            broker.create_group("orders", group, start).await.unwrap(),
            "{group}"
        );
        let count = usize::try_from(20 - from).unwrap();
        let came = take(&broker, group, count).await;
        assert_eq!(numbers(&came), (from..20).collect::<Vec<_>>(), "{group}");
        ack(came).await;
        assert!(
            broker.read("orders", group, 1).await.unwrap().is_empty(),
            "{group}"
        );
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_over_knows_what_was_settled_and_how_often_the_rest_was_delivered() {
    let server = RabbitMqConfig::new().start().unwrap();
    let one = broker(&server);
    publish(&one, 0..10).await;
    let mut held = take(&one, "billing", 6).await;
    let failing = held.remove(2);
    ack(held.split_off(1)).await;
    failing
        .nack_with(NackOptions::new().delay(Duration::from_secs(3_600)))
        .await
        .unwrap();
    // The other waits until this one is gone; the message in its hand and the failing one come first.
    let other = broker(&server);
    let waiting = other
        .read_wait("orders", "billing", 1, Duration::from_millis(300))
        .await;
    assert!(waiting.unwrap().is_empty());
    one.close().await.unwrap();
    let came = take(&other, "billing", 6).await;
    assert_eq!(numbers(&came), [0, 2, 6, 7, 8, 9]);
    let attempts: Vec<_> = came.iter().map(Delivery::attempt).collect();
    assert_eq!(attempts, [2, 2, 1, 1, 1, 1]);
    assert!(held.pop().unwrap().ack().await.is_err(), "its broker is closed");
    ack(came).await;
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_cut_old_receipts_are_stale_and_attempts_go_on() {
    let server = RabbitMqConfig::new().proxied().start().unwrap();
    let broker = broker(&server);
    publish(&broker, 0..1).await;
    let mut held = take(&broker, "billing", 1).await.remove(0);
    for attempt in 2..=4 {
        server.proxy().unwrap().cut().await.unwrap();
        let again = take(&broker, "billing", 1).await.remove(0);
        assert_eq!(
            (numbers(std::slice::from_ref(&again))[0], again.attempt()),
            (0, attempt)
        );
        assert_eq!(held.ack().await.unwrap(), Settled::Stale);
        held = again;
    }
    ack(vec![held]).await;
    publish(&broker, 1..2).await;
    assert_eq!(numbers(&take(&broker, "billing", 1).await), [1]);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_never_comes_again_though_the_server_is_killed_the_moment_after() {
    let server = RabbitMqConfig::new().start().unwrap();
    let first = broker(&server);
    publish(&first, 0..50).await;
    ack(take(&first, "billing", 30).await).await;
    server.kill().unwrap();
    drop(first);
    let restarting = server.clone();
    tokio::task::spawn_blocking(move || restarting.restart())
        .await
        .unwrap()
        .unwrap();
    let second = broker(&server);
    let rest = take(&second, "billing", 20).await;
    assert_eq!(numbers(&rest), (30..50).collect::<Vec<_>>());
    ack(rest).await;
    second.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_dead_letter_is_for_its_group_alone() {
    let server = RabbitMqConfig::new().start().unwrap();
    let broker = broker(&server);
    publish(&broker, 0..1).await;
    for group in ["billing", "shipping"] {
        let letter = take(&broker, group, 1).await.remove(0);
        letter
            .nack_with(NackOptions::new().reason("bounced").dead_letter())
            .await
            .unwrap();
    }
    let billing = broker.dead_letters("orders", "billing").unwrap();
    assert_eq!(billing.replay_all().await.unwrap(), 1);
    publish(&broker, 1..2).await;
    assert_eq!(numbers(&take(&broker, "shipping", 1).await), [1]);
    let again = take(&broker, "billing", 2).await;
    assert_eq!(numbers(&again), [0, 1]);
    assert_eq!(again[0].attempt(), 1);
    let shipping = broker.dead_letters("orders", "shipping").unwrap();
    assert_eq!(
        (billing.depth().await.unwrap(), shipping.depth().await.unwrap()),
        (0, 1)
    );
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_from_a_group_is_told_and_it_goes_on() {
    let server = RabbitMqConfig::new().start().unwrap();
    let keeping = || {
        let open = open(&server, |settings| {
            settings.max_length_bytes = Some(200_000);
            settings.max_segment_size_bytes = Some(50_000);
        });
        open.unwrap()
    };
    let broker = keeping();
    publish(&broker, 0..2).await;
    ack(take(&broker, "slow", 1).await).await;
    // Nothing is sent ahead to it any more.
    broker.close().await.unwrap();
    let other = keeping();
    let mut events = other.events();
    let payload = "x".repeat(10_000);
    for _ in 0..100 {
        let message = Message::text(payload.clone());
        other.publish("orders", message).await.unwrap();
    }
    let first = take(&other, "slow", 1).await.remove(0);
    let lost = loop {
        let event = tokio::time::timeout(PATIENCE, events.recv())
            .await
            .unwrap()
            .unwrap();
        if let BrokerEvent::MessagesLost { count, .. } = event {
            break count;
        }
    };
    // The server has an offset for itself in each segment.
    assert!((1..120).contains(&lost), "{lost}");
    assert_eq!(first.payload().len(), 10_000);
    // A new group was never owed what is gone.
    drop(take(&other, "late", 1).await);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, BrokerEvent::MessagesLost { .. }), "{event:?}");
    }
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_sees_the_groups_and_may_not_move_one_that_is_read() {
    let server = RabbitMqConfig::new().start().unwrap();
    let (reading, looking) = (broker(&server), broker(&server));
    publish(&reading, 0..10).await;
    let held = take(&reading, "billing", 4).await;
    ack(held).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let groups = looking.groups("orders").await.unwrap();
        assert_eq!(groups.len(), 1);
        if (groups[0].pending, groups[0].lag) == (0, 6) && groups[0].members.len() == 1 {
            break;
        }
        assert!(Instant::now() < until, "{groups:?}");
    }
    let mut subscription = reading.subscribe("orders", "billing").start().await.unwrap();
    drop(subscription.next().await);
    let refused = looking.seek("orders", "billing", StartPosition::Earliest).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Throttled);
    subscription.close().await.unwrap();
    reading.close().await.unwrap();
    looking
        .seek("orders", "billing", StartPosition::Earliest)
        .await
        .unwrap();
    assert_eq!(numbers(&take(&looking, "billing", 2).await), [0, 1]);
    looking.close().await.unwrap();
}

#[tokio::test]
async fn what_a_log_has_no_use_for_is_refused_in_one_line() {
    type Set = fn(&mut Settings);
    let log = QueueType::Stream;
    let wrong: [(QueueType, &str, Set); 7] = [
        (log, "single_active_consumer", |it| {
            it.single_active_consumer = true;
        }),
        (log, "declare", |it| it.declare = false),
        (log, "persistent", |it| it.persistent = false),
        (log, "log_queue", |it| it.log_queue = "all".to_owned()),
        (log, "max_age", |it| it.max_age = Some(Duration::from_millis(1))),
        (QueueType::Classic, "max_age", |it| it.max_age = Some(PATIENCE)),
        (QueueType::Quorum, "max_length_bytes", |it| {
            it.max_length_bytes = Some(1);
        }),
    ];
    for (queue_type, key, set) in wrong {
        let mut settings = Settings {
            queue_type,
            ..Settings::default()
        };
        set(&mut settings);
        let refused = Broker::open(settings).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Config, "{key}");
        let line = refused.to_string();
        assert!(line.contains(key) && !line.contains('\n'), "{key}: {line}");
    }
}
