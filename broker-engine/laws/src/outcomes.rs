//! What handlers answer with, or settle by hand.

use std::sync::Arc;
use std::time::Duration;

use broker::engine::{AckPolicy, Outcome, Outgoing};
use broker::prelude::{Delivery, Engine, Json, Message, NackOptions, State, Subscriber};

use crate::stage::Stage;
use crate::support::{dead, publish_numbers, until};

pub(crate) async fn a_manual_handler_settles_itself(stage: Stage) {
    let (brokers, numbers) = (stage.brokers(), stage.stream("numbers"));
    async fn handle(delivery: Delivery) -> Result<(), broker::Error> {
        match delivery.json::<u64>()? {
            0 => delivery.ack().await.map(drop),
            _ => delivery
                .nack_with(NackOptions::new().dead_letter().reason("odd"))
                .await
                .map(drop),
        }
    }
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new(numbers, "hand")
                .handle(handle)
                .ack(AckPolicy::Manual),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, numbers, 0..2, 0).await;
    until("both are handled", || {
        engine.receipt().of_group("hand").handled == 2
    })
    .await;
    engine.stop().await.unwrap();
    assert_eq!(dead(&brokers, numbers, "hand").await.len(), 1);
    let groups = brokers.default_broker().groups(numbers).await.unwrap();
    assert_eq!((groups[0].pending, groups[0].lag), (0, 0));
}

pub(crate) async fn what_a_handler_answers_with_is_published_and_follows_from_its_message(stage: Stage) {
    let (brokers, numbers, doubled) = (stage.brokers(), stage.stream("numbers"), stage.stream("doubled"));
    async fn handle(
        Json(number): Json<u64>,
        State(doubled): State<Arc<str>>,
    ) -> Result<Outcome, broker::Error> {
        match number {
            0 => Ok(Outcome::Skip),
            1 => Ok(Outcome::dead_letter("one")),
            _ => Ok(Outcome::Publish(vec![
                Outgoing::new(&*doubled, Message::json(&(number * 2))?)?,
                Outgoing::new(&*doubled, Message::json(&(number * 3))?)?,
            ])),
        }
    }
    let engine = Engine::builder(brokers.clone())
        .state(Arc::<str>::from(doubled))
        .subscribe(Subscriber::new(numbers, "doubler").handle(handle))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    for number in 0..3_u64 {
        let message = Message::json(&number)
            .unwrap()
            .id(format!("number-{number}"))
            .header("traceparent", "00-1-2-01");
        brokers.publish(numbers, message).await.unwrap();
    }
    let read = brokers
        .default_broker()
        .receive_many(doubled, "looking", 2, Duration::from_secs(30));
    let doubled = read.await.unwrap();
    let tally = engine.stop().await.unwrap().of_group("doubler");
    assert_eq!(
        (tally.handled, tally.skipped, tally.dead, tally.published),
        (1, 1, 1, 2)
    );
    let values: Vec<u64> = doubled.iter().map(|delivery| delivery.json().unwrap()).collect();
    assert_eq!(values, [4, 6]);
    for (name, value) in [
        ("correlation-id", "number-2"),
        ("causation-id", "number-2"),
        ("traceparent", "00-1-2-01"),
    ] {
        assert_eq!(doubled[0].headers().get_str(name).unwrap(), Some(value));
    }
}
