//! What many streams and idle subscriptions cost.

use std::time::Duration;

use broker_core::Message;
use tokio::time::Instant;

use crate::scene::{EVENTUALLY, eventually, fewer_than, number, open, sent, server};

/// What this provider sends while it waits.
const ASKED: &[&str] = &["evalsha", "blmove", "publish", "subscribe", "ping"];

#[tokio::test]
async fn an_idle_subscription_asks_seldom_in_every_mode() {
    for mode in ["list", "queue", "channel"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}"));
        let idle = match mode {
            "channel" => {
                let mut heard = broker.listen("s").start().await.unwrap();
                tokio::spawn(async move { heard.next().await.is_none() })
            }
            _ => {
                let mut subscription = broker.subscribe("s", "g").start().await.unwrap();
                tokio::spawn(async move { subscription.next().await.is_none() })
            }
        };
        eventually("it waits", async || {
            let heard = match mode {
                "channel" => "s",
                "list" => "{s}:list:wake",
                _ => "{s}:queue:wake",
            };
            let hears = server.command(&["PUBSUB", "NUMSUB", heard]).unwrap();
            hears.as_list()[1].as_number() == Some(1)
        })
        .await;
        fewer_than(15, Duration::from_secs(3), || sent(&server, ASKED)).await;
        broker.close().await.unwrap();
        assert!(idle.await.unwrap());
    }
}

/// A thousand streams in one process: connections and tasks are bounded, and every stream is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_share_their_connections() {
    const STREAMS: usize = 1_000;
    for mode in ["list", "queue"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}&pool_size=8&operation_timeout=60s"));
        let until = Instant::now() + EVENTUALLY * 3;
        let reads = (0..STREAMS).map(|stream| {
            let broker = broker.clone();
            async move {
                let (name, mut left) = (format!("s{stream}"), 2);
                while left > 0 {
                    assert!(Instant::now() < until, "stream {stream} is not served");
                    let wait = Duration::from_secs(5);
                    for delivery in broker.read_wait(&name, "g", left, wait).await.unwrap() {
                        if mode == "queue" {
                            delivery.ack().await.unwrap();
                        }
                        left -= 1;
                    }
                }
            }
        });
        let reading: Vec<_> = reads.map(tokio::spawn).collect();
        for stream in 0..STREAMS {
            let two = vec![Message::text("a"), Message::text("b")];
            assert!(
                broker
                    .publish_batch(&format!("s{stream}"), two)
                    .await
                    .unwrap()
                    .all_stored()
            );
        }
        let connections = || {
            let info = server.command(&["INFO", "clients"]).unwrap().to_text();
            let line = info
                .lines()
                .find_map(|line| line.strip_prefix("connected_clients:"));
            line.unwrap().trim().parse::<usize>().unwrap()
        };
        assert!(connections() <= 12, "{mode}: {} connections", connections());
        for read in reading {
            read.await.unwrap();
        }
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        eventually("hardly a task is left over", async || tasks() <= 32).await;
        assert_eq!(
            number(
                &server,
                &["SCARD", &format!("broker:redis_pubsub:{mode}:streams")]
            ),
            1_000
        );
    }
}
