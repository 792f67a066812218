//! A pattern covers the streams that are there, and those made later.

use broker::engine::Context;
use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{Seen, publish_numbers, until};

async fn handle(context: Context, Json(number): Json<u64>, State(seen): State<Seen<(String, u64)>>) {
    seen.push((context.stream().to_string(), number));
}

pub(crate) async fn a_group_follows_a_pattern(stage: Stage) {
    let (brokers, every_user) = (stage.brokers(), stage.stream("user.*"));
    let [user_a, user_b, users_a] = ["user.a", "user.b", "users.a"].map(|name| stage.stream(name));
    publish_numbers(&brokers, user_a, 0..1, 0).await;
    publish_numbers(&brokers, users_a, 10..11, 0).await;
    let seen = Seen::<(String, u64)>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(Subscriber::new(every_user, "audit").handle(handle))
        .start()
        .await
        .unwrap();
    until("what was there", || seen.len() == 1).await;
    publish_numbers(&brokers, user_b, 1..3, 0).await;
    until("what came later", || seen.len() == 3).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(receipt.settled, 3);
    let of = |stream: &str, number| (stream.to_owned(), number);
    assert_eq!(seen.all(), [of(user_a, 0), of(user_b, 1), of(user_b, 2)]);
}
