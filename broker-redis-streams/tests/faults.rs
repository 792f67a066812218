//! What a restart, a kill and a vanished group may and may not do.

use std::collections::HashSet;
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::config::Settings;
use broker_core::registry::Registry;
use broker_core::{BrokerEvent, ErrorKind, Message, Result, Settled};
use broker_redis_streams::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisServer};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(30);

fn open(server: &RedisServer, more: &[(&str, &str)]) -> Result<Broker> {
    let mut settings = Settings::from_url(&server.url())?;
    settings.set("provider", "redis", None);
    for (key, value) in more {
        settings.set(key, *value, None);
    }
    let mut registry = Registry::new();
    registry.add(&PROVIDER)?;
    Broker::from_settings("default", settings, &registry)
}

fn text(number: usize) -> Message {
    Message::text(number.to_string())
}

/// Nothing published `Ok` is lost by killing the server at random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_published() {
    const MESSAGES: usize = 600;
    let server = RedisConfig::new().append_only().start().unwrap();
    let more = [
        ("message_timeout", "1s"),
        ("circuit_breaker_failures", "0"),
        ("operation_retries", "20"),
    ];
    let (publisher, consumer) = (open(&server, &more).unwrap(), open(&server, &more).unwrap());
    let publishing = tokio::spawn(async move {
        let mut stored = HashSet::new();
        for number in 0..MESSAGES {
            // An unknown outcome is no promise; the message may come or not.
            if publisher.publish("orders", text(number)).await.is_ok() {
                stored.insert(number.to_string());
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        stored
    });
    let killing = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(400));
                server.kill().unwrap();
                server.restart().unwrap();
            }
        })
    };
    let mut acked = HashSet::new();
    let until = Instant::now() + DEADLINE;
    let mut stored: Option<HashSet<String>> = None;
    let mut publishing = publishing;
    while stored.as_ref().is_none_or(|stored| !stored.is_subset(&acked)) {
        assert!(Instant::now() < until, "messages are missing");
        if publishing.is_finished() && stored.is_none() {
            stored = Some((&mut publishing).await.unwrap());
        }
        let Ok(batch) = consumer
            .read_wait("orders", "billing", 50, Duration::from_millis(200))
            .await
        else {
            continue;
        };
        for delivery in batch {
            let number = String::from_utf8(delivery.payload().to_vec()).unwrap();
            if delivery
                .ack()
                .await
                .is_ok_and(|settled| settled == Settled::Acked || settled == Settled::AlreadySettled)
            {
                acked.insert(number);
            }
        }
    }
    killing.await.unwrap();
    assert!(stored.unwrap().len() > MESSAGES / 2, "hardly anything was stored");
}

/// An ack is told once the server has it: a kill straight after brings nothing back, whichever way the ack went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_that_was_told_outlives_a_kill() {
    const EACH: usize = 12;
    let server = RedisConfig::new().append_only().start().unwrap();
    for way in 0..8 {
        let broker = open(&server, &[]).unwrap();
        broker
            .publish_batch("orders", (0..EACH).map(text).collect())
            .await
            .unwrap();
        let mut batch = broker
            .read_wait("orders", "billing", EACH, DEADLINE)
            .await
            .unwrap();
        assert_eq!(batch.len(), EACH, "read to be settled in way {way}");
        match way % 4 {
            0 => {
                for delivery in batch {
                    assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
                }
            }
            1 => assert!(batch.ack().await.unwrap().iter().all(|it| it == Settled::Acked)),
            // Behind the next read, which waits at the server.
            2 => {
                let other = broker.clone();
                let wait = Duration::from_secs(1);
                let next = tokio::spawn(async move { other.read_wait("orders", "billing", 1, wait).await });
                assert!(batch.ack().await.unwrap().iter().all(|it| it == Settled::Acked));
                next.abort();
            }
            _ => {
                batch.ack_later();
                broker.close().await.unwrap();
            }
        }
        server.kill().unwrap();
        server.restart().unwrap();
        let pending = server.command(&["XPENDING", "orders", "billing"]).unwrap();
        assert_eq!(pending.as_list()[0].as_number(), Some(0), "after way {way}");
    }
}

/// A group that vanished is made again where it was, once, and told.
#[tokio::test]
async fn a_vanished_group_goes_on_where_it_was() {
    let server = RedisConfig::new().start().unwrap();
    let broker = open(&server, &[]).unwrap();
    let mut events = broker.events();
    broker
        .publish_batch("orders", (0..4).map(text).collect())
        .await
        .unwrap();
    let batch = broker
        .read_wait("orders", "billing", 3, Duration::from_secs(1))
        .await
        .unwrap();
    let mut deliveries: Vec<_> = batch.collect();
    assert_eq!(deliveries.len(), 3);
    // The first and the third are done; the second is still in hand.
    let second = deliveries.remove(1);
    for delivery in deliveries {
        delivery.ack().await.unwrap();
    }
    server
        .command(&["XGROUP", "DESTROY", "orders", "billing"])
        .unwrap();
    assert_eq!(second.ack().await.unwrap(), Settled::NotPending);

    let mut seen = Vec::new();
    let until = Instant::now() + DEADLINE;
    while seen.last().is_none_or(|last| last != "3") {
        assert!(Instant::now() < until, "only {seen:?} came");
        for delivery in broker
            .read_wait("orders", "billing", 10, Duration::from_millis(200))
            .await
            .unwrap()
        {
            seen.push(String::from_utf8(delivery.payload().to_vec()).unwrap());
            delivery.ack().await.unwrap();
        }
    }
    assert!(
        !seen.contains(&"0".to_owned()),
        "what was settled before the gap came again: {seen:?}"
    );
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let recreated = told
        .filter(|event| matches!(event, BrokerEvent::GroupRecreated { .. }))
        .count();
    assert_eq!(recreated, 1);
}

/// A server that replayed a rewritten log tells a lag of long ago; a group that has had everything has none.
#[tokio::test]
async fn a_group_that_is_through_has_no_lag_after_a_restart() {
    let server = RedisConfig::new().append_only().start().unwrap();
    let broker = open(&server, &[]).unwrap();
    broker
        .publish_batch("orders", (0..20).map(text).collect())
        .await
        .unwrap();
    let read = async |count| {
        let mut batch = broker
            .read_wait("orders", "billing", count, Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(batch.len(), count);
        batch.ack().await.unwrap();
    };
    read(5).await;
    server.command(&["BGREWRITEAOF"]).unwrap();
    let until = Instant::now() + DEADLINE;
    let is_rewritten = || {
        let info = server.command(&["INFO", "persistence"]).unwrap().to_text();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    };
    while !is_rewritten() {
        assert!(Instant::now() < until, "the log is not rewritten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read(15).await;
    server.kill().unwrap();
    server.restart().unwrap();
    let again = open(&server, &[]).unwrap();
    let groups = again.groups("orders").await.unwrap();
    assert_eq!(groups[0].lag, 0, "{groups:?}");
}

/// A key of another type is a permanent error of its stream alone.
#[tokio::test]
async fn a_key_of_another_type_stops_only_its_stream() {
    let server = RedisConfig::new().start().unwrap();
    let broker = open(&server, &[]).unwrap();
    server.command(&["SET", "orders", "text"]).unwrap();
    let error = broker.publish("orders", text(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
    assert!(!error.is_retryable());
    broker.publish("invoices", text(1)).await.unwrap();
}

/// A full server refuses with an error that is worth another try, and serves what only reads.
#[tokio::test]
async fn a_full_server_is_a_bound_that_was_reached() {
    let server = RedisConfig::new().start().unwrap();
    let broker = open(&server, &[("operation_retries", "0")]).unwrap();
    broker.publish("orders", text(1)).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let error = broker.publish("orders", text(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    broker.publish("orders", text(2)).await.unwrap();
}
