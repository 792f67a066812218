//! Requests and replies: each its own, with its status, in its time.

use std::time::Duration;

use broker::engine::{Outgoing, Status};
use broker::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stage::Stage;
use crate::support::{PATIENCE, until};

/// How long one waits for an answer that comes too late: so long that a busy machine has sent the question.
const HURRY: Duration = Duration::from_secs(1);

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
            tokio::time::sleep(HURRY * 2).await;
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

async fn start(brokers: &Brokers, asks: &str) -> Engine {
    let subscriber = Subscriber::new(asks, "handlers")
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
pub(crate) async fn a_hundred_get_their_own_answers(stage: Stage) {
    let (brokers, asks) = (stage.brokers(), stage.stream("asks"));
    let engine = start(&brokers, asks).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    let asking = (0..100_u64).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let answer = client
                .request(asks, question(number, "well"), PATIENCE)
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
pub(crate) async fn statuses_are_mapped(stage: Stage) {
    let (brokers, asks) = (stage.brokers(), stage.stream("asks"));
    let engine = start(&brokers, asks).await;
    let client = RequestClient::new(brokers.default_broker()).await.unwrap();
    for (message, status, error) in [
        (question(1, "well"), Status::SUCCESS, None),
        (question(1, "refuse"), Status::ERROR, Some("not for you")),
        (question(1, "fail"), Status::SYSTEM_ERROR, Some("out of order")),
        (Message::text("").kind("odd"), Status::UNKNOWN, None),
    ] {
        let answer = client.request(asks, message, PATIENCE).await.unwrap();
        assert_eq!((answer.status(), answer.error()), (status, error));
        assert_eq!(answer.is_ok(), status == Status::SUCCESS);
    }
    client.close().await.unwrap();
    engine.stop().await.unwrap();
}

/// rpc.timeout, rpc.late_reply, rpc.no_reply, rpc.pool: five may ask at once; a timeout is typed and frees its place, and
/// the answer that comes then is dropped and counted.
pub(crate) async fn timeouts_free_their_places(stage: Stage) {
    let (brokers, asks) = (stage.brokers(), stage.stream("asks"));
    let engine = start(&brokers, asks).await;
    let client = RequestClient::builder(brokers.default_broker())
        .in_flight(5)
        .build()
        .await
        .unwrap();
    for how in ["slowly", "silently"] {
        let message = |number| match how {
            "slowly" => question(number, how),
            _ => Message::text("").kind("silent"),
        };
        let asking = (0..5).map(|number| {
            let (client, message) = (client.clone(), message(number));
            tokio::spawn(async move { client.request(asks, message, HURRY).await.unwrap_err() })
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
                .request(asks, question(number, "well"), PATIENCE)
                .await
                .unwrap()
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert!(asked.await.unwrap().is_ok());
    }
    until("the late ones come", || client.late() >= 5).await;
    assert_eq!(client.late(), 5, "the silent ones never answer");
    client.close().await.unwrap();
    engine.stop().await.unwrap();
}

/// A request on a stream of which several groups are told is answered by each; what is answered is told apart by the request.
pub(crate) async fn answers_of_several_groups_are_gathered(stage: Stage) {
    let (brokers, asks) = (stage.brokers(), stage.stream("asks"));
    let engine = start(&brokers, asks).await;
    let asked_too = Subscriber::new(asks, "others").on("ask", answer);
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
        let id = queue.send(asks, question(number, "well")).await.unwrap();
        expected.extend([(id, number * 2); 2]);
    }
    let answers = queue.receive_many(expected.len(), PATIENCE).await;
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
