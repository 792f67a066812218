//! The plan says who guarantees what, and a start that could not keep it fails.

use broker::engine::{Engine, OrderedBy, RetryPolicy, Subscriber};
use broker::prelude::Capabilities;

use crate::support::{inline, weak};

async fn nothing() {}

#[tokio::test]
async fn the_plan_names_what_the_broker_gives_what_the_engine_adds_and_what_is_absent() {
    let of = |brokers| {
        Engine::builder(brokers)
            .retry(RetryPolicy::attempts(4))
            .subscribe(
                Subscriber::new("orders", "billing")
                    .on("order.placed", nothing)
                    .concurrency(8)
                    .require(Capabilities::DEAD_LETTER_QUEUE),
            )
            .plan()
            .unwrap()
    };
    let (strong, weaker) = (of(inline()), of(weak(Capabilities::SIMPLE_QUEUING)));
    assert!(strong.check().is_ok());
    let entry = &weaker.entries[0];
    assert_eq!(
        (entry.attempts, entry.concurrency, entry.kinds.as_slice()),
        (4, 8, ["order.placed".to_owned()].as_slice())
    );
    assert!(
        entry
            .by_engine
            .iter()
            .any(|line| line.starts_with("retry: 4 attempts")),
        "{entry}"
    );
    assert!(
        entry
            .by_engine
            .iter()
            .any(|line| line.starts_with("dead letters: published")),
        "{entry}"
    );
    assert!(
        entry
            .absent
            .iter()
            .any(|line| line.starts_with("delivery guarantees")),
        "{entry}"
    );
    let error = weaker.check().unwrap_err().to_string();
    assert!(
        error.contains("orders/billing requires DEAD_LETTER_QUEUE"),
        "{error}"
    );
    let json = serde_json::to_value(&weaker).unwrap();
    assert_eq!(json[0]["missing"], serde_json::json!(["DEAD_LETTER_QUEUE"]));

    let comparison = strong.against(&weaker);
    let change = &comparison.changes[0];
    assert!(change.lost.contains(Capabilities::ACK_NACK) && change.gained.is_empty());
    assert_eq!(change.missing, Capabilities::DEAD_LETTER_QUEUE);
    assert!(comparison.to_string().contains("loses"), "{comparison}");
    assert!(strong.against(&strong).changes.is_empty());
}

#[tokio::test]
async fn what_sequential_mode_needs_is_required_in_the_plan_already() {
    let sequential = Subscriber::new("orders", "billing").handle(nothing).sequential();
    let engine = Engine::builder(weak(Capabilities::SIMPLE_QUEUING)).subscribe(sequential);
    let plan = engine.plan().unwrap();
    assert_eq!(plan.entries[0].missing, Capabilities::MESSAGE_ORDERING);
    let error = engine.start().await.unwrap_err().to_string();
    assert!(
        error.contains("orders/billing requires MESSAGE_ORDERING"),
        "{error}"
    );
}

#[tokio::test]
async fn the_plan_says_how_far_the_order_of_a_key_goes() {
    let of = |subscriber: broker::engine::Declared| {
        let engine = Engine::builder(inline()).subscribe(subscriber);
        engine.plan().unwrap().entries.remove(0)
    };
    let has = |lines: &[String], start: &str| lines.iter().any(|line| line.starts_with(start));
    let lanes = || Subscriber::new("orders", "billing").concurrency(8);

    let plain = of(lanes().handle(nothing).into());
    assert!(plain.by_broker.contains(Capabilities::MESSAGE_ORDERING) && plain.require.is_empty());
    assert!(has(&plain.by_engine, "order of each key over 8 lanes"), "{plain}");
    assert!(has(&plain.absent, "order after a failure"), "{plain}");

    let sequential = of(lanes().handle(nothing).sequential().into());
    assert_eq!(sequential.require, Capabilities::MESSAGE_ORDERING);
    assert!(
        sequential.sequential && sequential.missing.is_empty() && sequential.absent.is_empty(),
        "{sequential}"
    );
    assert!(
        has(
            &sequential.by_engine,
            "sequential mode: a message that fails parks its key"
        ),
        "{sequential}"
    );

    let free = of(lanes().handle(nothing).ordered_by(OrderedBy::Nothing).into());
    assert!(
        has(&free.absent, "order: any message may overlap any other") && !has(&free.by_engine, "order"),
        "{free}"
    );
}
