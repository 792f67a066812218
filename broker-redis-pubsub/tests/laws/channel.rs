//! Mode `channel`.

use std::time::Duration;

use broker_core::{BrokerEvent, HealthStatus, Message};
use broker_testkit::{NetProxy, TcpProxy};
use tokio::time::timeout;

use crate::scene::{EVENTUALLY, eventually, number, open, open_at, server};

#[tokio::test]
async fn a_gap_is_told_after_a_reconnect_and_the_subscription_goes_on() {
    let server = server();
    let proxy = TcpProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let broker = open_at(&server.url_at(proxy.port()), "mode=channel").unwrap();
    let mut events = broker.events();
    let mut heard = broker.listen("news").start().await.unwrap();
    proxy.cut().await.unwrap();
    let gap = async {
        loop {
            if let BrokerEvent::Gap { stream, .. } = events.recv().await.unwrap() {
                return stream;
            }
        }
    };
    assert_eq!(timeout(EVENTUALLY, gap).await.unwrap().as_str(), "news");
    server.command(&["PUBLISH", "news", "after"]).unwrap();
    let delivery = timeout(EVENTUALLY, heard.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(delivery.message().payload(), "after");
}

#[tokio::test]
async fn a_half_open_connection_is_found_by_its_own_keep_alive() {
    let server = server();
    let proxy = TcpProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let settings = "mode=channel&keep_alive=100ms&response_timeout=300ms";
    let broker = open_at(&server.url_at(proxy.port()), settings).unwrap();
    let mut heard = broker.listen("news").start().await.unwrap();
    proxy.half_open().await.unwrap();
    eventually("the silent connection is given up", async || {
        number(&server, &["PUBLISH", "news", "into the void"]) == 0
    })
    .await;
    proxy.heal().await.unwrap();
    eventually("the listener is back", async || {
        number(&server, &["PUBLISH", "news", "x"]) == 1
    })
    .await;
    let delivery = timeout(EVENTUALLY, heard.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(delivery.message().payload(), "x");
}

#[tokio::test]
async fn what_a_slow_listener_has_no_room_for_is_counted_and_hurts_no_other() {
    let server = server();
    let broker = open(&server, "mode=channel&buffer=10");
    let _slow = broker.listen("news").prefetch(1).start().await.unwrap();
    let other = open(&server, "mode=channel");
    let mut quick = other.listen("news").start().await.unwrap();
    let messages = (0..100).map(|number| Message::text(number.to_string())).collect();
    other.publish_batch("news", messages).await.unwrap();
    for number in 0..100 {
        let delivery = timeout(EVENTUALLY, quick.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(delivery.message().payload(), &number.to_string());
    }
    let mut health = broker.health_stats().await;
    eventually("the drops are counted", async || {
        health = broker.health_stats().await;
        health.details.contains(&("dropped".to_owned(), "90".to_owned()))
    })
    .await;
    assert_eq!(health.status, HealthStatus::Degraded);
}

#[tokio::test]
async fn a_pattern_stops_at_a_dot_and_tells_the_true_stream() {
    let server = server();
    let broker = open(&server, "mode=channel");
    let mut heard = broker.listen("user.*").start().await.unwrap();
    for stream in ["users.a", "user.a.b", "user.b"] {
        broker.publish(stream, Message::text(stream)).await.unwrap();
    }
    let delivery = timeout(EVENTUALLY, heard.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (delivery.stream().as_str(), delivery.message().payload().as_ref()),
        ("user.b", &b"user.b"[..])
    );
    assert!(timeout(Duration::from_millis(100), heard.next()).await.is_err());
}
