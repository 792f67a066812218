//! Places and reply queues of a client for requests, with a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker::inline::InlineConfig;
use broker::prelude::*;
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, Serialize)]
struct Ask {
    number: u64,
    /// How the answer is to be.
    how: String,
}

async fn answer(Json(ask): Json<Ask>) -> Reply<u64> {
    if ask.how == "slowly" {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Reply::ok(ask.number * 2)
}

async fn silent() {}

fn question(number: u64, how: &str) -> Message {
    let how = how.to_owned();
    Message::json(&Ask { number, how }).unwrap().kind("ask")
}

fn inline() -> Brokers {
    Brokers::builder()
        .default(InlineConfig::default())
        .build()
        .unwrap()
}

async fn start(brokers: &Brokers) -> Engine {
    let subscriber = Subscriber::new("asks", "handlers")
        .on("ask", answer)
        .on("silent", silent)
        .concurrency(64)
        .retry(RetryPolicy::attempts(1));
    Engine::builder(brokers.clone())
        .subscribe(subscriber)
        .start()
        .await
        .unwrap()
}

/// rpc.pool: so many reply queues may be in use; one that is dropped makes room, and leaves nothing to the next.
#[tokio::test(start_paused = true)]
async fn a_reply_queue_that_is_dropped_makes_room_and_is_forgotten() {
    let brokers = inline();
    let engine = start(&brokers).await;
    let builder = RequestClient::builder(brokers.default_broker()).in_flight(2);
    let client = builder.reply_queues(1).build().await.unwrap();
    let mut first = client.reply_queue().await.unwrap();
    first.send("asks", question(1, "slowly")).await.unwrap();
    first.send("asks", question(2, "slowly")).await.unwrap();
    let hurry = Duration::from_millis(100);
    assert!(tokio::time::timeout(hurry, client.reply_queue()).await.is_err());
    let third = tokio::time::timeout(hurry, first.send("asks", question(3, "well"))).await;
    assert!(third.is_err(), "two requests may be under way");
    drop(first);
    let mut second = client.reply_queue().await.unwrap();
    let asked = second.send("asks", question(4, "well")).await.unwrap();
    let (id, answer) = second.receive(LONG).await.unwrap();
    assert_eq!((id, answer.json::<u64>().unwrap()), (asked, 8));
    tokio::time::timeout(LONG, async {
        while client.late() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    engine.stop().await.unwrap();
}

/// Who sends more than may be under way, before receiving anything, is not stuck behind its own answers.
#[tokio::test(start_paused = true)]
async fn one_s_own_answers_make_room_for_one_s_next_request() {
    let brokers = inline();
    let engine = start(&brokers).await;
    let builder = RequestClient::builder(brokers.default_broker()).in_flight(2);
    let client = builder.build().await.unwrap();
    let mut queue = client.reply_queue().await.unwrap();
    for number in 0..3 {
        let sending = queue.send("asks", question(number, "well"));
        tokio::time::timeout(LONG, sending).await.unwrap().unwrap();
    }
    let error = loop {
        let sending = queue.send("asks", question(9, "well"));
        if let Err(error) = tokio::time::timeout(LONG, sending).await.unwrap() {
            break error;
        }
    };
    assert_eq!(
        error.kind(),
        ErrorKind::Throttled,
        "it says so where too many wait"
    );
    assert!(!queue.receive_many(10, Duration::from_secs(1)).await.is_empty());
    queue.send("asks", question(9, "well")).await.unwrap();
    engine.stop().await.unwrap();
}

/// What is gathered when a call is dropped comes from the next one.
#[tokio::test(start_paused = true)]
async fn a_dropped_receive_many_loses_no_answer() {
    let brokers = inline();
    let engine = start(&brokers).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    let mut queue = client.reply_queue().await.unwrap();
    queue.send("asks", question(1, "well")).await.unwrap();
    let waiting = queue.receive_many(2, LONG);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), waiting)
            .await
            .is_err()
    );
    assert_eq!(
        queue
            .receive(Duration::ZERO)
            .await
            .unwrap()
            .1
            .json::<u64>()
            .unwrap(),
        2
    );
    engine.stop().await.unwrap();
}

/// Who waits when the client is closed is told at once; who asks later is refused.
#[tokio::test(start_paused = true)]
async fn a_closed_client_ends_its_reply_queues() {
    let brokers = inline();
    let engine = start(&brokers).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    let mut queue = client.reply_queue().await.unwrap();
    let silent = Message::text("").kind("silent");
    queue.send("asks", silent.clone()).await.unwrap();
    let (answer, closed) = tokio::join!(queue.receive(LONG), client.close());
    closed.unwrap();
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        queue.send("asks", silent).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(client.reply_queue().await.unwrap_err().kind(), ErrorKind::Closed);
    engine.stop().await.unwrap();
}

/// rpc.pool: while all places are taken, asking waits, within its time.
#[tokio::test(start_paused = true)]
async fn who_finds_no_place_waits_for_one_within_the_time() {
    let brokers = inline();
    let engine = start(&brokers).await;
    let client = RequestClient::builder(brokers.default_broker())
        .in_flight(1)
        .build()
        .await
        .unwrap();
    let (first, in_time, too_late) = tokio::join!(
        client.request("asks", question(1, "slowly"), LONG),
        client.request("asks", question(2, "well"), Duration::from_secs(1)),
        client.request("asks", question(3, "well"), Duration::from_millis(500)),
    );
    assert!(first.unwrap().is_ok() && in_time.unwrap().is_ok());
    assert_eq!(too_late.unwrap_err().kind(), ErrorKind::Timeout);
    engine.stop().await.unwrap();
}
