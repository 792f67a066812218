//! What a lost connection and a killed server leave: receipts that are stale, groups that go on, gaps that are told.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::time::Duration;

use broker_core::{Broker, BrokerEvent, Error, Message, Settled};
use broker_rabbitmq::{QueueType, RabbitMqConfig as Settings};
use broker_testkit::NetProxy as _;
use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer};
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

/// On a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn broker(server: &RabbitMqServer, queue_type: QueueType) -> Broker {
    let settings = Settings {
        queue_type,
        ..Settings::new(&server.url()).unwrap()
    };
    Broker::open(settings).unwrap()
}

/// Tries until it works again.
async fn persist<T, R: Future<Output = Result<T, Error>>>(mut what: impl FnMut() -> R) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match what().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn one(broker: &Broker) -> broker_core::broker::Delivery {
    let until = Instant::now() + PATIENCE;
    loop {
        let wait = Duration::from_secs(1);
        if let Some(delivery) = persist(|| broker.read_wait("orders", "billing", 1, wait))
            .await
            .next()
        {
            return delivery;
        }
        assert!(Instant::now() < until, "nothing came");
    }
}

/// Waits until such an event is told.
async fn told(events: &mut Receiver<BrokerEvent>, wanted: impl Fn(&BrokerEvent) -> bool) {
    let telling = async { while !wanted(&events.recv().await.unwrap()) {} };
    tokio::time::timeout(PATIENCE, telling).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_cut_old_receipts_are_stale_and_the_message_comes_again_counted() {
    let server = RabbitMqConfig::new().proxied().start().unwrap();
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let broker = broker(&server, queue_type);
        let stream = format!("{queue_type:?}");
        drop(broker.read(&stream, "billing", 0).await.unwrap());
        broker.publish(&stream, Message::text("tea")).await.unwrap();
        let mut held = broker
            .read_wait(&stream, "billing", 1, PATIENCE)
            .await
            .unwrap()
            .next()
            .unwrap();
        for attempt in 2..=4 {
            server.proxy().unwrap().cut().await.unwrap();
            let again = loop {
                let wait = Duration::from_secs(1);
                let reading = || broker.read_wait(&stream, "billing", 1, wait);
                if let Some(delivery) = persist(reading).await.next() {
                    break delivery;
                }
            };
            assert_eq!(again.attempt(), attempt, "{queue_type:?}");
            assert_eq!(again.id(), held.id());
            assert_eq!(held.ack().await.unwrap(), Settled::Stale);
            held = again;
        }
        assert_eq!(held.ack().await.unwrap(), Settled::Acked);
        broker.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_confirmed() {
    let server = RabbitMqConfig::new().start().unwrap();
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let broker = broker(&server, queue_type);
        let stream = format!("{queue_type:?}");
        drop(broker.read(&stream, "billing", 0).await.unwrap());
        let (mut stored, mut got) = (BTreeSet::new(), BTreeSet::new());
        for round in 0..2 {
            for number in 0..200 {
                let text = format!("{round}-{number}");
                let message = Message::text(text.clone());
                let started = Instant::now();
                persist(|| async {
                    let answer = broker.publish(&stream, message.clone()).await;
                    if let Err(error) = &answer {
                        println!(
                            "{text} after {:?}: {error} {:?}",
                            started.elapsed(),
                            broker.health_stats().await
                        );
                    }
                    answer
                })
                .await;
                stored.insert(text);
            }
            server.kill().unwrap();
            let restarting = server.clone();
            tokio::task::spawn_blocking(move || restarting.restart())
                .await
                .unwrap()
                .unwrap();
        }
        let until = Instant::now() + PATIENCE;
        while got.len() < stored.len() {
            assert!(Instant::now() < until, "{} of {}", got.len(), stored.len());
            let wait = Duration::from_millis(500);
            for delivery in persist(|| broker.read_wait(&stream, "billing", 50, wait)).await {
                got.insert(String::from_utf8_lossy(delivery.payload()).into_owned());
                delivery.ack().await.unwrap();
            }
        }
        assert_eq!(got, stored, "{queue_type:?}");
        broker.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_vanished_is_made_again_and_that_is_told() {
    let server = RabbitMqConfig::new().proxied().start().unwrap();
    let broker = broker(&server, QueueType::Quorum);
    let mut events = broker.events();
    drop(broker.read("orders", "billing", 0).await.unwrap());
    broker.publish("orders", Message::text("first")).await.unwrap();
    one(&broker).await.ack().await.unwrap();
    let delete = "{ok, Q} = rabbit_amqqueue:lookup({resource, <<\"/\">>, queue, <<\"orders/billing\">>}), \
                  rabbit_amqqueue:delete(Q, false, false, <<\"test\">>), ok.";
    server.evaluate(delete).unwrap();
    let again = async {
        // The first read that meets it gives the channel up; the next one makes the group again.
        let waiting = broker.read_wait("orders", "billing", 1, Duration::from_millis(200));
        drop(waiting.await);
        broker.publish("orders", Message::text("second")).await
    };
    drop(again.await);
    told(&mut events, |event| {
        matches!(event, BrokerEvent::GroupRecreated { .. })
    })
    .await;
    persist(|| broker.publish("orders", Message::text("third"))).await;
    one(&broker).await.ack().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_goes_on_after_a_cut_and_tells_the_gap() {
    let server = RabbitMqConfig::new().proxied().start().unwrap();
    let broker = broker(&server, QueueType::Quorum);
    let mut events = broker.events();
    let mut listener = broker.listen("orders").start().await.unwrap();
    server.proxy().unwrap().cut().await.unwrap();
    let listening = tokio::spawn(async move {
        while let Some(delivery) = listener.next().await {
            if delivery.is_ok() {
                return true;
            }
        }
        false
    });
    told(&mut events, |event| matches!(event, BrokerEvent::Gap { .. })).await;
    persist(|| broker.publish("orders", Message::text("after"))).await;
    let heard = tokio::time::timeout(PATIENCE, listening).await;
    assert!(heard.unwrap().unwrap());
    broker.close().await.unwrap();
}
