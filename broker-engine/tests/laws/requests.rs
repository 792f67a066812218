//! What becomes of late answers, and what a handler knows of its request.

use std::time::Duration;

use broker::engine::layers::{CorrelationLayer, current};
use broker::prelude::*;

use crate::support::{Seen, inline, until};

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
