//! Mode `queue`.

use std::time::Duration;

use broker_core::{Message, Settled};
use tokio::time::Instant;

use crate::scene::{eventually, fewer_than, number, open, sent, server};

#[tokio::test]
async fn a_plain_push_from_either_end_wakes_a_waiting_reader_at_once() {
    let server = server();
    // No looking by itself: only the server can wake it.
    let broker = open(&server, "mode=queue&poll_interval=1h");
    for push in ["LPUSH", "RPUSH"] {
        let reader = broker.clone();
        let reading = tokio::spawn(async move {
            let got = reader
                .read_wait("s", "g", 1, Duration::from_secs(30))
                .await
                .unwrap();
            let at = Instant::now();
            for delivery in got {
                assert_eq!(delivery.message().payload(), "by hand");
                assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
            }
            at
        });
        eventually("the reader waits at the server", async || {
            let clients = server.command(&["CLIENT", "LIST"]).unwrap().to_text();
            clients.contains("cmd=blmove")
        })
        .await;
        let pushed = Instant::now();
        server.command(&[push, "s", "by hand"]).unwrap();
        let took = reading.await.unwrap() - pushed;
        // Each wait at the server takes five seconds, unless something wakes it.
        assert!(took < Duration::from_secs(3), "{push}: {took:?}");
    }
}

#[tokio::test]
async fn a_dead_consumers_messages_are_taken_over_with_their_attempts() {
    let server = server();
    let settings = |name: &str| format!("mode=queue&message_timeout=300ms&max_retries=100&consumer={name}");
    let (dead, alive) = (
        open(&server, &settings("dead")),
        open(&server, &settings("alive")),
    );
    for number in 0..5 {
        dead.publish("s", Message::text(number.to_string()))
            .await
            .unwrap();
    }
    let held: Vec<_> = dead.read("s", "g", 5).await.unwrap().collect();
    assert_eq!(held.len(), 5);
    let mut taken = Vec::new();
    while taken.len() < 5 {
        let wait = Duration::from_secs(10);
        taken.extend(alive.read_wait("s", "g", 5, wait).await.unwrap());
    }
    assert!(taken.iter().all(|delivery| delivery.attempt() == 2));
    for late in &held {
        assert_eq!(late.ack().await.unwrap(), Settled::Stale);
    }
    for delivery in &taken {
        assert_eq!(delivery.ack().await.unwrap(), Settled::Acked);
    }
    assert_eq!(number(&server, &["HLEN", "{s}:queue:state:g"]), 0);
}

#[tokio::test]
async fn what_every_group_has_settled_is_removed() {
    let server = server();
    let broker = open(&server, "mode=queue&history=0");
    let mut settled = 0;
    while settled < 2_000 {
        let messages = (0..100).map(|_| Message::text("x")).collect();
        broker.publish_batch("s", messages).await.unwrap();
        let mut batch = broker.read("s", "g", 100).await.unwrap();
        settled += batch.len();
        batch.ack().await.unwrap();
    }
    // Removing happens each 512 messages.
    assert!(number(&server, &["LLEN", "{s}:queue:log"]) <= 512 + 100);
    assert_eq!(number(&server, &["LLEN", "s"]), 0);
}

#[tokio::test]
async fn members_of_the_same_name_in_a_new_life_go_on_with_the_attempts() {
    let server = server();
    let settings = "mode=queue&message_timeout=200ms&max_retries=100&consumer=worker";
    open(&server, settings)
        .publish("s", Message::text("x"))
        .await
        .unwrap();
    for attempt in 1..4 {
        let life = open(&server, settings);
        let got = life
            .read_wait("s", "g", 1, Duration::from_secs(10))
            .await
            .unwrap();
        let attempts: Vec<_> = got.map(|delivery| delivery.attempt()).collect();
        assert_eq!(attempts, [attempt]);
    }
}

#[tokio::test]
async fn without_the_right_to_wait_at_the_server_readers_look_by_themselves_and_seldom() {
    let server = server();
    let broker = open(&server, "mode=queue&poll_interval=200ms");
    server.command(&["ACL", "SETUSER", "default", "-blmove"]).unwrap();
    let reader = broker.clone();
    let reading = tokio::spawn(async move {
        let got = reader.read_wait("s", "g", 1, Duration::from_secs(30)).await;
        got.unwrap().count()
    });
    eventually("the reader waits", async || {
        number(&server, &["PUBLISH", "{s}:queue:wake", ""]) == 1
    })
    .await;
    fewer_than(20, Duration::from_secs(2), || sent(&server, &["evalsha"])).await;
    server.command(&["LPUSH", "s", "by hand"]).unwrap();
    assert_eq!(reading.await.unwrap(), 1);
}
