//! Requests and replies, on the in-process broker and on Redis alike.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker::engine::{Outgoing, Status};
use broker::inline::InlineConfig;
use broker::prelude::*;
use broker::redis_streams::RedisStreamsConfig;
use broker_testkit::servers::{RedisConfig, RedisServer};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, Serialize)]
struct Ask {
    number: u64,
    /// How the answer is to be.
    how: String,
}

async fn answer(Json(ask): Json<Ask>) -> Result<Reply<u64>, std::io::Error> {
    match ask.how.as_str() {
        "well" => Ok(Reply::ok(ask.number * 2)),
        "slowly" => {
            tokio::time::sleep(Duration::from_millis(700)).await;
            Ok(Reply::ok(ask.number))
        }
        "refuse" => Ok(Reply::error(400, "not for you")),
        _ => Err(std::io::Error::other("out of order")),
    }
}

/// Answers without saying how it ended, as an older program might.
async fn without_status(message: Message) -> Outgoing {
    let text = |name| {
        message
            .headers()
            .get_str(name)
            .unwrap()
            .unwrap_or_default()
            .to_owned()
    };
    let reply = Message::text("?").header("request-id", text("request-id"));
    Outgoing::new(text("reply-to"), reply).unwrap()
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

fn redis() -> (Brokers, RedisServer) {
    let server = RedisConfig::new().start().unwrap();
    let config = RedisStreamsConfig::new(&server.url()).unwrap();
    (Brokers::builder().default(config).build().unwrap(), server)
}

async fn start(brokers: &Brokers) -> Engine {
    let subscriber = Subscriber::new("asks", "handlers")
        .on("ask", answer)
        .on("odd", without_status)
        .on("silent", silent)
        .concurrency(64)
        .retry(RetryPolicy::attempts(1));
    Engine::builder(brokers.clone())
        .subscribe(subscriber)
        .start()
        .await
        .unwrap()
}

/// rpc.reply, rpc.concurrent: each of a hundred gets its own answer.
async fn concurrent(brokers: Brokers) {
    let engine = start(&brokers).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    let asking = (0..100_u64).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let answer = client
                .request("asks", question(number, "well"), LONG)
                .await
                .unwrap();
            assert_eq!(answer.json::<u64>().unwrap(), number * 2);
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    assert_eq!(client.late(), 0);
    client.close().await.unwrap();
    engine.stop().await.unwrap();
}

/// rpc.error_status: 200, 400, 500, and 600 where the answer does not say.
async fn statuses(brokers: Brokers) {
    let engine = start(&brokers).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    for (message, status, error) in [
        (question(1, "well"), Status::SUCCESS, None),
        (question(1, "refuse"), Status::ERROR, Some("not for you")),
        (question(1, "fail"), Status::SYSTEM_ERROR, Some("out of order")),
        (Message::text("").kind("odd"), Status::UNKNOWN, None),
    ] {
        let answer = client.request("asks", message, LONG).await.unwrap();
        assert_eq!((answer.status(), answer.error()), (status, error));
        assert_eq!(answer.is_ok(), status == Status::SUCCESS);
    }
    client.close().await.unwrap();
    engine.stop().await.unwrap();
}

/// rpc.timeout, rpc.late_reply, rpc.no_reply, rpc.pool: five may ask at once; a timeout is typed and frees its place, and
/// the answer that comes then is dropped and counted.
async fn bounded(brokers: Brokers) {
    let engine = start(&brokers).await;
    let client = RequestClient::builder(brokers.default_broker())
        .in_flight(5)
        .build()
        .await
        .unwrap();
    let hurry = Duration::from_millis(300);
    for how in ["slowly", "silently"] {
        let message = |number| match how {
            "slowly" => question(number, how),
            _ => Message::text("").kind("silent"),
        };
        let asking = (0..5).map(|number| {
            let (client, message) = (client.clone(), message(number));
            tokio::spawn(async move { client.request("asks", message, hurry).await.unwrap_err() })
        });
        for asked in asking.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap().kind(), ErrorKind::Timeout);
        }
    }
    // All places are free again: twice as many as there are get through.
    let asking = (0..10).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .request("asks", question(number, "well"), LONG)
                .await
                .unwrap()
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert!(asked.await.unwrap().is_ok());
    }
    let late = async {
        while client.late() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, late).await.unwrap();
    assert_eq!(client.late(), 5, "the silent ones never answer");
    client.close().await.unwrap();
    engine.stop().await.unwrap();
}

/// A request on a stream of which several groups are told is answered by each; what is answered is told apart by the request.
async fn gathered(brokers: Brokers) {
    let engine = start(&brokers).await;
    let asked_too = Subscriber::new("asks", "others").on("ask", answer);
    let others = Engine::builder(brokers.clone())
        .subscribe(asked_too)
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    let mut queue = client.reply_queue().await.unwrap();
    let mut expected = Vec::new();
    for number in 1..=10 {
        let id = queue.send("asks", question(number, "well")).await.unwrap();
        expected.extend([(id, number * 2); 2]);
    }
    let answers = queue.receive_many(expected.len(), LONG).await;
    let mut answers: Vec<_> = answers
        .into_iter()
        .map(|(id, answer)| (id, answer.unwrap().json::<u64>().unwrap()))
        .collect();
    answers.sort_unstable();
    assert_eq!(answers, expected);
    assert_eq!(queue.unanswered(), 0);
    let hurry = Duration::from_millis(100);
    assert!(queue.receive_many(1, hurry).await.is_empty());
    assert_eq!(queue.receive(hurry).await.unwrap_err().kind(), ErrorKind::Timeout);
    others.stop().await.unwrap();
    client.close().await.unwrap();
    engine.stop().await.unwrap();
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

macro_rules! on_both {
    ($($law:ident: $inline:ident, $redis:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $inline() {
            $law(inline()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $redis() {
            let (brokers, _server) = redis();
            $law(brokers).await;
        }
    )*};
}

on_both! {
    concurrent: a_hundred_get_their_own_answers_inline, a_hundred_get_their_own_answers_on_redis;
    statuses: statuses_are_mapped_inline, statuses_are_mapped_on_redis;
    gathered: answers_of_several_groups_are_gathered_inline, answers_of_several_groups_are_gathered_on_redis;
    bounded: timeouts_free_their_places_inline, timeouts_free_their_places_on_redis;
}
