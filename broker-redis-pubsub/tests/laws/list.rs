//! Mode `list`.

use std::time::Duration;

use broker_core::{BrokerEvent, Message};
use broker_testkit::{NetProxy, TcpProxy};
use tokio::time::Instant;

use crate::scene::{eventually, fewer_than, number, open, open_at, sent, server};

async fn publish(broker: &broker_core::Broker, stream: &str, count: usize) {
    let messages = (0..count)
        .map(|number| Message::text(number.to_string()))
        .collect();
    assert!(broker.publish_batch(stream, messages).await.unwrap().all_stored());
}

#[tokio::test]
async fn the_list_is_trimmed_behind_the_slowest_group_and_positions_stay_right() {
    let server = server();
    let broker = open(&server, "history=10");
    broker.read("s", "slow", 1).await.unwrap();
    publish(&broker, "s", 1_000).await;
    let mut expected = 0;
    while expected < 1_000 {
        for delivery in broker.read("s", "fast", 100).await.unwrap() {
            assert_eq!(delivery.message().payload(), &expected.to_string());
            expected += 1;
        }
    }
    assert_eq!(
        number(&server, &["LLEN", "s"]),
        1_000,
        "the slow group still needs them"
    );
    let mut seen = 0;
    while seen < 1_000 {
        for delivery in broker.read("s", "slow", 70).await.unwrap() {
            assert_eq!(delivery.message().payload(), &seen.to_string());
            seen += 1;
        }
    }
    // Trimming happens each 128 messages, and leaves the history and what the read that trims hands out.
    assert!(number(&server, &["LLEN", "s"]) <= 10 + 128 + 70);
    publish(&broker, "s", 1).await;
    for group in ["slow", "fast"] {
        assert_eq!(broker.read("s", group, 10).await.unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_waiting_reader_is_woken_and_looks_seldom_while_nothing_comes() {
    let server = server();
    let (broker, other) = (open(&server, "poll_interval=20s"), open(&server, ""));
    let reading = tokio::spawn(async move {
        let got = broker.read_wait("s", "g", 1, Duration::from_secs(30)).await;
        (Instant::now(), got.unwrap().count())
    });
    eventually("the reader waits", async || {
        number(&server, &["PUBLISH", "{s}:list:wake", ""]) == 1
    })
    .await;
    // One for the wake-up above, and one for what came before it.
    fewer_than(4, Duration::from_secs(2), || sent(&server, &["evalsha"])).await;
    let published = Instant::now();
    other.publish("s", Message::text("x")).await.unwrap();
    let (at, count) = reading.await.unwrap();
    assert_eq!(count, 1);
    let took = at - published;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_removed_group_goes_on_where_it_was_and_says_so() {
    let server = server();
    let broker = open(&server, "");
    let mut events = broker.events();
    publish(&broker, "s", 10).await;
    assert_eq!(broker.read("s", "g", 4).await.unwrap().count(), 4);
    server.command(&["DEL", "{s}:list:groups"]).unwrap();
    let next = broker.read("s", "g", 1).await.unwrap().next().unwrap();
    assert_eq!(next.message().payload(), "4");
    eventually("the event", async || {
        matches!(events.try_recv(), Ok(BrokerEvent::GroupRecreated { .. }))
    })
    .await;
}

#[tokio::test]
async fn a_flushed_server_is_gone_on_with_from_the_beginning() {
    for mode in ["list", "queue"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}"));
        publish(&broker, "s", 10).await;
        assert_eq!(broker.read("s", "g", 10).await.unwrap().count(), 10);
        server.command(&["FLUSHALL"]).unwrap();
        assert_eq!(broker.read("s", "g", 10).await.unwrap().count(), 0);
        publish(&broker, "s", 3).await;
        assert_eq!(broker.read("s", "g", 10).await.unwrap().count(), 3, "{mode}");
    }
}

/// A connection that is cut in the middle of an answer costs no message, and hands none out twice.
#[tokio::test]
async fn an_answer_that_is_lost_is_given_again() {
    for history in [10_000, 0] {
        let server = server();
        let proxy = TcpProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
        let settings = format!("history={history}&operation_retries=20&operation_retry_delay=10ms");
        let broker = open_at(&server.url_at(proxy.port()), &settings).unwrap();
        publish(&broker, "s", 1_000).await;
        let mut seen = Vec::new();
        let until = Instant::now() + crate::scene::EVENTUALLY;
        while seen.len() < 1_000 {
            assert!(Instant::now() < until, "{} came", seen.len());
            proxy.cut_after(300).await.unwrap();
            // The answer is larger than that: it is cut, and the next try goes through.
            let reading = broker.read("s", "g", 100);
            let healing = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                proxy.heal().await.unwrap();
            };
            let (read, ()) = tokio::join!(reading, healing);
            if let Ok(batch) = read {
                seen.extend(batch.map(|delivery| String::from_utf8(delivery.payload().to_vec()).unwrap()));
            }
        }
        assert_eq!(
            seen,
            (0..1_000).map(|number| number.to_string()).collect::<Vec<_>>()
        );
    }
}
