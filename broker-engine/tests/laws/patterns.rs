//! A pattern covers the streams that are there, and those made later.

use broker::Brokers;
use broker::engine::Context;
use broker::prelude::*;

use crate::support::{Seen, inline, publish_numbers, redis, until, weak};

async fn handle(context: Context, Json(number): Json<u64>, State(seen): State<Seen<(String, u64)>>) {
    seen.push((context.stream().to_string(), number));
}

async fn a_group_follows_a_pattern(brokers: Brokers) {
    publish_numbers(&brokers, "user.a", 0..1, 0).await;
    publish_numbers(&brokers, "users.a", 10..11, 0).await;
    let seen = Seen::<(String, u64)>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(Subscriber::new("user.*", "audit").handle(handle))
        .start()
        .await
        .unwrap();
    until("what was there", || seen.len() == 1).await;
    publish_numbers(&brokers, "user.b", 1..3, 0).await;
    until("what came later", || seen.len() == 3).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(receipt.settled, 3);
    let of = |stream: &str, number| (stream.to_owned(), number);
    assert_eq!(seen.all(), [of("user.a", 0), of("user.b", 1), of("user.b", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_follows_a_pattern_by_listing_inline() {
    a_group_follows_a_pattern(inline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_follows_a_pattern_by_listing_on_redis() {
    let (brokers, _server) = redis();
    a_group_follows_a_pattern(brokers).await;
}

#[tokio::test(start_paused = true)]
async fn without_groups_the_broker_matches_itself() {
    let brokers = weak(Capabilities::BASIC_PUBSUB | Capabilities::PATTERN_SUBSCRIPTION);
    let seen = Seen::<u64>::default();
    async fn number(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(Subscriber::new("user.*", "audit").handle(number))
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "user.b", 1..3, 0).await;
    until("both are seen", || seen.len() == 2).await;
    engine.stop().await.unwrap();
}
