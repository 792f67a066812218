//! What many streams and idle subscriptions cost.

use std::time::Duration;

use tokio::time::Instant;

use crate::scene::{EVENTUALLY, asked, eventually, fewer_than, open, publish, sent, server};

/// What clients send of themselves while nothing happens.
const ASKED: &[&str] = &[
    "evalsha",
    "xreadgroup",
    "hmget",
    "xread",
    "client|unblock",
    "ping",
];

/// An idle subscription sends fewer than five commands a second, with partitions too.
#[tokio::test]
async fn an_idle_subscription_asks_seldom() {
    for partitions in [1, 4] {
        let server = server();
        let broker = open(&server, &format!("partitions={partitions}"));
        let mut subscription = broker.subscribe("orders", "billing").start().await.unwrap();
        let idle = tokio::spawn(async move { subscription.next().await.is_none() });
        eventually("it waits at the server and hears the others", async || {
            let waiting = asked(&server, &["CLIENT", "LIST"])
                .matches("cmd=xreadgroup")
                .count();
            let hears = asked(&server, &["PUBSUB", "NUMSUB", "{orders}:wake"]) != "{orders}:wake 0";
            waiting == partitions && hears
        })
        .await;
        fewer_than(30, Duration::from_secs(6), || sent(&server, ASKED)).await;
        broker.close().await.unwrap();
        assert!(idle.await.unwrap());
    }
}

/// A thousand streams in one process: connections and tasks are bounded, and every stream is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_share_their_connections() {
    const STREAMS: usize = 1_000;
    let server = server();
    let broker = open(&server, "pool_size=8&operation_timeout=60s");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for stream in 0..STREAMS {
        publish(&broker, &format!("s{stream}"), 0..2).await;
    }
    let clients = || asked(&server, &["CLIENT", "LIST"]).lines().count();
    assert!(clients() <= 12, "{} connections", clients());
    assert!(tasks() - before <= 12, "{} tasks", tasks() - before);
    let until = Instant::now() + EVENTUALLY * 3;
    let reads = (0..STREAMS).map(|stream| {
        let broker = broker.clone();
        async move {
            let mut left = 2;
            while left > 0 {
                assert!(Instant::now() < until, "stream {stream} is not served");
                let wait = Duration::from_secs(5);
                for delivery in broker
                    .read_wait(&format!("s{stream}"), "g", left, wait)
                    .await
                    .unwrap()
                {
                    delivery.ack().await.unwrap();
                    left -= 1;
                }
            }
        }
    });
    let reading: Vec<_> = reads.map(tokio::spawn).collect();
    for read in reading {
        read.await.unwrap();
    }
    assert!(clients() <= 12, "{} connections", clients());
    eventually("no task is left over", async || tasks() - before <= 24).await;
}
