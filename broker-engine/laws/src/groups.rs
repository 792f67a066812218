//! Subscribers come and go, and what is made for them goes with them.

use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{Seen, eventually, publish_numbers, until};

pub(crate) async fn subscribers_come_and_go_while_the_engine_runs(stage: Stage) {
    let (brokers, numbers) = (stage.brokers(), stage.stream("numbers"));
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let seen = Seen::<u64>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, numbers, 0..3, 0).await;
    let handle_of = engine.handle();
    handle_of
        .add(
            Subscriber::new(numbers, "late")
                .handle(handle)
                .remove_group_at_end(),
        )
        .await
        .unwrap();
    until("it catches up", || seen.len() == 3).await;
    let again = handle_of
        .add(Subscriber::new(numbers, "late").handle(handle))
        .await
        .unwrap_err();
    assert!(again.to_string().contains("running already"), "{again}");
    assert_eq!(handle_of.remove(numbers, "late"), 1);
    let broker = brokers.default_broker();
    eventually("its group goes with it", async || {
        broker.groups(numbers).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(engine.stop().await.unwrap().settled, 3);
}

pub(crate) async fn a_short_lived_stream_goes_with_its_subscriber(stage: Stage) {
    let (brokers, kept, replies_7) = (stage.brokers(), stage.stream("kept"), stage.stream("replies.7"));
    async fn number(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let seen = Seen::<u64>::default();
    publish_numbers(&brokers, kept, 0..1, 0).await;
    publish_numbers(&brokers, replies_7, 0..3, 0).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new(replies_7, "asker")
                .handle(number)
                .remove_stream_at_end(),
        )
        .subscribe(
            Subscriber::new(kept, "brief")
                .handle(number)
                .remove_group_at_end(),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    until("all are handled", || seen.len() == 4).await;
    engine.stop().await.unwrap();
    let broker = brokers.default_broker();
    let streams: Vec<_> = broker
        .streams()
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .filter(|stream| [kept, replies_7].contains(&stream.as_str()))
        .collect();
    assert_eq!(streams, [kept]);
    assert!(broker.groups(kept).await.unwrap().is_empty());
    brokers.close().await.unwrap();
}
