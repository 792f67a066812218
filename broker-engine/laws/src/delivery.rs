//! What is published is handled and settled, whatever the handler takes.

use std::sync::Arc;

use broker::Headers;
use broker::engine::{Attempt, Key, Kind, Payload};
use broker::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::stage::Stage;
use crate::support::{Seen, publish_numbers, until};

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    id: u64,
}

pub(crate) async fn every_message_is_handled_once(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let seen = Seen::<u64>::default();
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) -> Result<(), std::io::Error> {
        seen.push(number);
        Ok(())
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(Subscriber::new(orders, "billing").handle(handle))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, orders, 0..1000, 0).await;
    until("all are handled", || seen.len() == 1000).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (receipt.settled, receipt.given_back, receipt.abandoned),
        (1000, 0, 0),
        "{receipt}"
    );
    assert_eq!(
        seen.all(),
        (0..1000).collect::<Vec<_>>(),
        "one lane keeps the order"
    );
    let groups = brokers.default_broker().groups(orders).await.unwrap();
    assert_eq!(
        (groups[0].pending, groups[0].lag),
        (0, 0),
        "all are settled at the broker"
    );
    brokers.close().await.unwrap();
}

pub(crate) async fn handlers_take_what_they_need(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let seen = Seen::default();
    let told = seen.clone();
    let take = move |Payload(payload): Payload,
                     Key(key): Key,
                     Kind(kind): Kind,
                     Attempt(attempt): Attempt,
                     headers: Headers,
                     delivery: Delivery,
                     context: broker::engine::Context,
                     message: Message| {
        let told = told.clone();
        async move {
            assert_eq!(message.payload(), &payload);
            assert_eq!(
                (context.stream().as_str(), context.group().as_str()),
                (orders, "all")
            );
            let color = headers.get_str("color").unwrap().map(str::to_owned);
            told.push((key, kind, attempt, color, delivery.id()));
        }
    };
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new(orders, "all").handle(take))
        .start()
        .await
        .unwrap();
    let message = Message::text("x")
        .key("k")
        .kind("order.placed")
        .header("color", "red");
    let id = brokers.publish(orders, message).await.unwrap();
    until("it is handled", || seen.len() == 1).await;
    engine.stop().await.unwrap();
    assert_eq!(
        seen.all(),
        [(
            Some("k".into()),
            Some("order.placed".to_owned()),
            1,
            Some("red".to_owned()),
            id
        )]
    );
}

pub(crate) async fn each_kind_goes_to_its_handler_and_the_rest_is_skipped(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let seen = Seen::<(&str, u64)>::default();
    async fn placed(Json(order): Json<Order>, State(seen): State<Seen<(&'static str, u64)>>) {
        seen.push(("placed", order.id));
    }
    async fn paid(Json(order): Json<Order>, State(seen): State<Seen<(&'static str, u64)>>) {
        seen.push(("paid", order.id));
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(Subscriber::new(orders, "billing").on("order.placed", placed))
        .subscribe(Subscriber::new(orders, "billing").on("order.paid", paid))
        .start()
        .await
        .unwrap();
    for (kind, id) in [("order.paid", 1), ("order.lost", 2), ("order.placed", 3)] {
        let message = Message::json(&Order { id }).unwrap().kind(kind);
        brokers.publish(orders, message).await.unwrap();
    }
    until("all are handled", || seen.len() == 2).await;
    until("one is skipped", || {
        engine.receipt().of_group("billing").skipped == 1
    })
    .await;
    engine.stop().await.unwrap();
    assert_eq!(seen.all(), [("paid", 1), ("placed", 3)]);
}

pub(crate) async fn a_blocked_subscriber_delays_no_other(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let seen = Seen::<u64>::default();
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let gate = Arc::new(Semaphore::new(0));
    let block = |State(gate): State<Arc<Semaphore>>| async move { gate.acquire().await.unwrap().forget() };
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .state(Arc::clone(&gate))
        .subscribe(Subscriber::new(orders, "blocked").handle(block).prefetch(10))
        .subscribe(Subscriber::new(orders, "free").handle(handle))
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, orders, 0..500, 0).await;
    until("the other has handled all", || seen.len() == 500).await;
    assert_eq!(engine.receipt().of_group("blocked").handled, 0);
    gate.add_permits(500);
    until("it has too", || engine.receipt().settled == 1000).await;
    engine.stop().await.unwrap();
}
