//! `trace`.

use broker::Message;
use broker::broker::NackOptions;
use broker_cli::Exit;

use crate::support::{broker, run};

#[tokio::test]
async fn a_story_is_told_from_any_of_its_messages() {
    let url = "inline://trace";
    let broker = broker(url).await;
    let follows = |id: &'static str, cause: &'static str| {
        Message::text("x")
            .id(id)
            .header("correlation-id", "order-7")
            .header("causation-id", cause)
    };
    broker
        .publish("orders", Message::text("x").id("order-7").kind("order.placed"))
        .await
        .unwrap();
    broker
        .publish("orders", Message::text("x").id("order-8"))
        .await
        .unwrap();
    broker
        .publish("bills", follows("bill-1", "order-7"))
        .await
        .unwrap();
    broker
        .publish("letters", follows("letter-1", "bill-1"))
        .await
        .unwrap();
    for delivery in broker.read("letters", "post", 1).await.unwrap() {
        let refusal = NackOptions::new().reason("no such address").dead_letter();
        delivery.nack_with(refusal).await.unwrap();
    }
    for id in ["order-7", "bill-1", "letter-1"] {
        let answer = run(&["trace", id, "--url", url, "--format", "json"]).await.good();
        let told: Vec<_> = answer
            .objects()
            .iter()
            .map(|one| {
                (
                    one["event"].as_str().unwrap().to_owned(),
                    one["message_id"].as_str().map(str::to_owned),
                )
            })
            .collect();
        let published = |id: &str| ("published".to_owned(), Some(id.to_owned()));
        assert_eq!(
            told,
            [
                published("order-7"),
                published("bill-1"),
                published("letter-1"),
                ("given_up".to_owned(), None)
            ],
            "from {id}"
        );
    }
    let answer = run(&["trace", "order-7", "--stream", "letters", "--url", url])
        .await
        .good();
    assert!(answer.output.contains("follows from bill-1"), "{}", answer.output);
    assert!(
        answer
            .output
            .contains("given up by post after 1 attempts: no such address"),
        "{}",
        answer.output
    );
    let answer = run(&["trace", "order-9", "--url", url]).await;
    assert_eq!(answer.exit, Exit::Failure);
    assert!(answer.errors.contains("`order-9`"), "{}", answer.errors);
}
