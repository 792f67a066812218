//! Who hears that something is due.

use std::time::Duration;

use broker_core::Message;
use broker_core::broker::NackOptions;
use tokio::time::Instant;

use crate::scene::{EVENTUALLY, asked, eventually, open, publish, sent, server, take};

const DELAY: Duration = Duration::from_millis(1500);

/// How much later than its time something may come on a busy machine; looking by itself took fifteen seconds with such leases.
const LATE: Duration = Duration::from_secs(3);

/// Waits until a reader waits at the server and hears the others.
async fn settled(server: &broker_testkit::servers::RedisServer) {
    eventually("a reader waits", async || {
        asked(server, &["CLIENT", "LIST"]).contains("cmd=xreadgroup")
            && asked(server, &["PUBSUB", "NUMSUB", "{orders}:wake"]) != "{orders}:wake 0"
    })
    .await;
}

/// Hazard 24: what one process puts off, another one that is free gets at its time: not before, not with its next look.
#[tokio::test]
async fn a_delayed_nack_is_redelivered_by_whoever_is_free() {
    for partitions in [1, 4] {
        let server = server();
        let settings = |name: &str| format!("partitions={partitions}&message_timeout=1h&consumer={name}");
        let (first, second) = (
            open(&server, &settings("first")),
            open(&server, &settings("second")),
        );
        publish(&first, "orders", 0..1).await;
        let mut taken = take(&first, "orders", "billing", 1).await;
        let failing = taken.remove(0);
        if partitions > 1 {
            // Partitions have one owner at a time: the first one leaves before the time comes.
            failing.nack_with(NackOptions::new().delay(DELAY)).await.unwrap();
            let since = Instant::now();
            first.close().await.unwrap();
            let again = second
                .read_wait("orders", "billing", 1, EVENTUALLY)
                .await
                .unwrap()
                .next()
                .unwrap();
            assert_eq!(again.attempt(), 2);
            assert!(
                since.elapsed() >= DELAY - Duration::from_millis(200),
                "{:?}",
                since.elapsed()
            );
            continue;
        }
        let reader = second.clone();
        let reading = tokio::spawn(async move {
            let again = reader
                .read_wait("orders", "billing", 1, EVENTUALLY)
                .await
                .unwrap();
            (
                Instant::now(),
                again.map(|delivery| delivery.attempt()).collect::<Vec<_>>(),
            )
        });
        settled(&server).await;
        let (before, since) = (sent(&server, &["evalsha"]), Instant::now());
        failing.nack_with(NackOptions::new().delay(DELAY)).await.unwrap();
        let (at, attempts) = reading.await.unwrap();
        assert_eq!(attempts, [2]);
        let took = at - since;
        assert!(took >= DELAY && took < DELAY + LATE, "{took:?}");
        let looks = sent(&server, &["evalsha"]) - before;
        assert!(looks < 10, "{looks} scripts for one nack");
    }
}

/// A message that another process delayed comes at its time.
#[tokio::test]
async fn a_delayed_message_of_another_process_comes_at_its_time() {
    let server = server();
    let (publisher, reader) = (open(&server, ""), open(&server, "message_timeout=1h"));
    let reading = tokio::spawn(async move {
        let came = reader
            .read_wait("orders", "billing", 1, EVENTUALLY)
            .await
            .unwrap();
        (Instant::now(), came.count())
    });
    settled(&server).await;
    let since = Instant::now();
    publisher
        .publish("orders", Message::text("later").delay(DELAY))
        .await
        .unwrap();
    let (at, count) = reading.await.unwrap();
    assert_eq!(count, 1);
    let took = at - since;
    assert!(took >= DELAY && took < DELAY + LATE, "{took:?}");
}

/// A user without the right to listen or tell is served as well, only later.
#[tokio::test]
async fn without_the_right_to_hear_members_look_by_themselves() {
    let server = server();
    server
        .command(&["ACL", "SETUSER", "default", "-subscribe", "-publish"])
        .unwrap();
    let (first, second) = (
        open(&server, "message_timeout=1h&consumer=a"),
        open(&server, "message_timeout=1h&consumer=b"),
    );
    publish(&first, "orders", 0..1).await;
    let failing = take(&first, "orders", "billing", 1).await.remove(0);
    let reading = tokio::spawn(async move {
        second
            .read_wait("orders", "billing", 1, EVENTUALLY)
            .await
            .unwrap()
            .count()
    });
    eventually("a reader waits", async || {
        asked(&server, &["CLIENT", "LIST"]).contains("cmd=xreadgroup")
    })
    .await;
    failing
        .nack_with(NackOptions::new().delay(Duration::from_millis(100)))
        .await
        .unwrap();
    assert_eq!(reading.await.unwrap(), 1);
}
