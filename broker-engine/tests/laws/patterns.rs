//! A pattern is the broker's own affair where that has no groups.

use broker::prelude::*;

use crate::support::{Seen, publish_numbers, until, weak};

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
