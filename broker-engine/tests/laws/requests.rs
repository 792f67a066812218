//! A request is answered, whatever becomes of it.

use std::time::Duration;

use broker::Brokers;
use broker::engine::Status;
use broker::engine::layers::{CorrelationLayer, current};
use broker::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{Seen, inline, redis, until};

#[derive(Debug, Deserialize, Serialize)]
struct Ask {
    sku: String,
}

#[subscriber(stream = "prices", message = "price.get", kind = query, attempts = 1)]
async fn price(Json(ask): Json<Ask>) -> Result<Reply<u64>, std::io::Error> {
    match ask.sku.as_str() {
        "coffee" => Ok(Reply::ok(350)),
        "broken" => Err(std::io::Error::other("the price list is torn")),
        _ => Ok(Reply::error(400, "no such product")),
    }
}

fn ask(sku: &str) -> Message {
    Message::json(&Ask { sku: sku.to_owned() })
        .unwrap()
        .kind("price.get")
}

async fn requests_are_answered_with_their_status(brokers: Brokers) {
    let broker = brokers.default_broker().clone();
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new("prices", "handlers")
                .on("price.get", price)
                .retry(RetryPolicy::attempts(1)),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    let client = RequestClient::new(&broker).await.unwrap();
    let request = |message| client.request("prices", message, Duration::from_secs(20));
    let (good, bad, broken, garbled) = tokio::join!(
        request(ask("coffee")),
        request(ask("tea")),
        request(ask("broken")),
        request(Message::text("{").kind("price.get")),
    );
    assert_eq!(good.unwrap().json::<u64>().unwrap(), 350);
    let bad = bad.unwrap();
    assert_eq!(
        (bad.status(), bad.error()),
        (Status::ERROR, Some("no such product"))
    );
    let error = bad.json::<u64>().unwrap_err().to_string();
    assert!(
        error.contains("400 error") && error.contains("no such product"),
        "{error}"
    );
    let broken = broken.unwrap();
    assert_eq!(
        (broken.status(), broken.error()),
        (Status::SYSTEM_ERROR, Some("the price list is torn"))
    );
    assert_eq!(garbled.unwrap().status(), Status::ERROR);
    engine.stop().await.unwrap();
    client.close().await.unwrap();
    let error = client
        .request("prices", ask("tea"), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    brokers.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_with_their_status_inline() {
    requests_are_answered_with_their_status(inline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_with_their_status_on_redis() {
    let (brokers, _server) = redis();
    requests_are_answered_with_their_status(brokers).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_dropped_and_counted() {
    let brokers = inline();
    async fn slow() -> Reply<u8> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Reply::ok(1)
    }
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new("slow", "handlers").handle(slow))
        .start()
        .await
        .unwrap();
    let client = RequestClient::builder(brokers.default_broker())
        .in_flight(1)
        .build()
        .await
        .unwrap();
    let error = client
        .request("slow", Message::text("?"), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    until("the answer is late", || client.late() == 1).await;
    engine.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_request_is_known_below_its_handler_and_follows_to_what_it_asks() {
    let brokers = inline();
    let seen = Seen::<(Option<String>, String)>::default();
    async fn outer(
        context: broker::engine::Context,
        State(seen): State<Seen<(Option<String>, String)>>,
    ) -> Result<(), broker::Error> {
        let current = current().unwrap();
        seen.push((
            current.reply_to().map(str::to_owned),
            current.correlation_id().to_owned(),
        ));
        context.publish("inner", Message::text("on")).await.map(drop)
    }
    async fn inner(State(seen): State<Seen<(Option<String>, String)>>) {
        let current = current().unwrap();
        seen.push((
            current.reply_to().map(str::to_owned),
            current.correlation_id().to_owned(),
        ));
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("outer", "handlers")
                .handle(outer)
                .layer(CorrelationLayer),
        )
        .subscribe(
            Subscriber::new("inner", "handlers")
                .handle(inner)
                .layer(CorrelationLayer),
        )
        .start()
        .await
        .unwrap();
    brokers
        .publish(
            "outer",
            Message::text("go").id("first").header("reply-to", "answers"),
        )
        .await
        .unwrap();
    until("both are handled", || seen.len() == 2).await;
    engine.stop().await.unwrap();
    assert_eq!(
        seen.all(),
        [
            (Some("answers".to_owned()), "first".to_owned()),
            (None, "first".to_owned())
        ]
    );
}
