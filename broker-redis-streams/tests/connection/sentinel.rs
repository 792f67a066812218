//! A primary that Sentinels know the place of.

use std::collections::HashSet;
use std::time::Duration;

use broker_core::ErrorKind;
use broker_testkit::servers::{RedisConfig, RedisReplica};

use tokio::time::Instant;

use crate::scene::{EVENTUALLY, eventually, open, text};

/// After a fail-over everything goes on at the new primary, with what the old one had passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_primary_is_found() {
    let pair = RedisReplica::start(&RedisConfig::new().append_only()).unwrap();
    let more = [("operation_retries", "0"), ("circuit_breaker_failures", "0")];
    let (publisher, consumer) = (
        open(&pair.url(), &more).unwrap(),
        open(&pair.url(), &more).unwrap(),
    );
    let mut expected = HashSet::new();
    for number in 0..50 {
        publisher.publish("orders", text(number)).await.unwrap();
        expected.insert(number);
    }
    let reading = tokio::spawn(async move {
        let mut seen = HashSet::new();
        let until = Instant::now() + EVENTUALLY;
        while !(0..100).all(|number| seen.contains(&number)) {
            assert!(Instant::now() < until, "only {} came", seen.len());
            let wait = Duration::from_millis(300);
            let Ok(batch) = consumer.read_wait("orders", "billing", 10, wait).await else {
                continue;
            };
            for delivery in batch {
                let number: usize = String::from_utf8_lossy(delivery.payload()).parse().unwrap();
                seen.insert(number);
                let _ = delivery.ack().await;
            }
        }
        seen
    });
    let port = pair.primary_port().unwrap();
    let primary = pair
        .servers()
        .iter()
        .find(|server| server.port() == port)
        .unwrap();
    let replica = pair
        .servers()
        .iter()
        .find(|server| server.port() != port)
        .unwrap();
    eventually("the replica has it all", async || {
        let length = replica.command(&["XLEN", "orders"]);
        length.is_ok_and(|length| length.as_number() == Some(50))
    })
    .await;
    primary.kill().unwrap();
    for number in 50..100 {
        eventually("the new primary takes it", async || {
            publisher.publish("orders", text(number)).await.is_ok()
        })
        .await;
        expected.insert(number);
    }
    assert_ne!(pair.primary_port().unwrap(), port);
    assert!(reading.await.unwrap().is_superset(&expected));
}

#[tokio::test]
async fn an_unknown_name_is_told() {
    let pair = RedisReplica::start(&RedisConfig::new()).unwrap();
    let url = format!("redis://127.0.0.1:{}", pair.sentinel_port());
    let broker = open(&url, &[("sentinel", "mymaster"), ("operation_retries", "0")]).unwrap();
    let error = broker.ensure_connection().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    let line = error.to_string();
    assert!(
        line.contains("the Sentinel knows no primary called `mymaster`"),
        "{line}"
    );
}
