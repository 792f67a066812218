//! How batches are gathered, decoded and declared.

use std::time::Duration;

use broker::engine::Outcome;
use broker::engine::layers::FilterLayer;
use broker::prelude::*;
use tokio::time::Instant;

use crate::support::{Seen, dead, inline, publish_numbers, until};

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_company_as_long_as_it_lingers_and_no_longer_than_until_it_is_full() {
    let brokers = inline();
    let seen = Seen::<(usize, Instant)>::default();
    async fn handle(numbers: Vec<Json<u64>>, State(seen): State<Seen<(usize, Instant)>>) {
        seen.push((numbers.len(), Instant::now()));
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("jobs", "worker")
                .batch(10, handle)
                .linger(Duration::from_secs(60)),
        )
        .start()
        .await
        .unwrap();
    let began = Instant::now();
    publish_numbers(&brokers, "jobs", 0..4, 0).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    publish_numbers(&brokers, "jobs", 4..8, 0).await;
    until("it has lingered", || seen.len() == 1).await;
    let (count, at) = seen.all()[0];
    assert_eq!((count, (at - began).as_secs()), (8, 60));
    publish_numbers(&brokers, "jobs", 8..22, 0).await;
    until("one is full", || seen.len() == 2).await;
    let (count, then) = seen.all()[1];
    assert!(
        count == 10 && then - at < Duration::from_secs(2),
        "{count} after {:?}",
        then - at
    );
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (receipt.settled, receipt.given_back),
        (18, 4),
        "what was being gathered goes back"
    );
}

#[subscriber(
    stream = "attributed-batches",
    group = "adder",
    message = "number",
    batch = 3,
    linger = "1s"
)]
async fn add(numbers: Vec<Json<u64>>, State(seen): State<Seen<u64>>) {
    seen.push(numbers.into_iter().map(|Json(number)| number).sum());
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_the_attribute_takes_batches_too() {
    let brokers = inline();
    let seen = Seen::<u64>::default();
    let linked = broker::engine::linked().into_iter();
    let ours = linked.filter(|one| format!("{one:?}").contains("attributed-batches"));
    let engine = ours.fold(
        Engine::builder(brokers.clone()).state(seen.clone()),
        |engine, one| engine.subscribe(one),
    );
    let engine = engine.start().await.unwrap();
    let numbers = [1_u64, 2, 3].map(|number| Message::json(&number).unwrap().kind("number"));
    let other = Message::json(&100_u64).unwrap().kind("other");
    brokers.publish("attributed-batches", other).await.unwrap();
    brokers
        .publish_batch("attributed-batches", numbers.to_vec())
        .await
        .unwrap();
    until("they were added", || seen.len() == 1).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (seen.all(), receipt.settled, receipt.of_group("adder").skipped),
        (vec![6], 4, 1)
    );
}

#[tokio::test]
async fn a_handler_of_batches_shares_its_group_with_nobody() {
    async fn all(_: Vec<Json<u64>>) {}
    async fn one(_: Json<u64>) {}
    let error = Engine::builder(inline())
        .subscribe(Subscriber::new("a", "b").batch_on("x", 3, all))
        .subscribe(Subscriber::new("a", "b").on("y", one))
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("::all and ") && error.contains("::one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn filters_and_validators_look_at_each_message_of_a_batch() {
    let brokers = inline();
    let seen = Seen::<u64>::default();
    async fn handle(numbers: Vec<Json<u64>>, State(seen): State<Seen<u64>>) -> Vec<Outcome> {
        let handle = |Json(number)| {
            seen.push(number);
            if number == 7 { Outcome::Skip } else { Outcome::Ack }
        };
        numbers.into_iter().map(handle).collect()
    }
    publish_numbers(&brokers, "numbers", 6..12, 0).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("numbers", "odd")
                .batch(6, handle)
                .layer(FilterLayer::keep(|delivery| {
                    delivery.json::<u64>().is_ok_and(|number| number % 2 == 1)
                }))
                .layer(FilterLayer::validate(|delivery| match delivery.payload().len() {
                    1 => Ok(()),
                    _ => Err("too long"),
                })),
        )
        .start()
        .await
        .unwrap();
    until("all are settled", || engine.receipt().settled == 6).await;
    let tally = engine.stop().await.unwrap().of_group("odd");
    assert_eq!(
        (seen.all(), tally.handled, tally.skipped, tally.dead),
        (vec![7, 9], 1, 3, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_left_out_and_a_wrong_count_is_an_error_of_all() {
    let brokers = inline();
    let seen = Seen::<Vec<u64>>::default();
    async fn handle(numbers: Vec<Json<u64>>, State(seen): State<Seen<Vec<u64>>>) -> Vec<Outcome> {
        let numbers: Vec<_> = numbers.into_iter().map(|Json(number)| number).collect();
        let short = numbers.contains(&9);
        seen.push(numbers.clone());
        numbers
            .iter()
            .skip(usize::from(short))
            .map(|_| Outcome::Ack)
            .collect()
    }
    let mut messages: Vec<_> = (0..3_u64).map(|number| Message::json(&number).unwrap()).collect();
    messages.insert(1, Message::text("no number"));
    brokers.publish_batch("jobs", messages).await.unwrap();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(RetryPolicy::attempts(1))
        .subscribe(
            Subscriber::new("jobs", "worker")
                .batch(4, handle)
                .linger(Duration::from_secs(1)),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    until("the first four are settled", || engine.receipt().settled == 4).await;
    publish_numbers(&brokers, "jobs", 8..10, 0).await;
    until("the others too", || engine.receipt().settled == 6).await;
    let tally = engine.stop().await.unwrap().of_group("worker");
    assert_eq!((tally.handled, tally.dead, tally.undecodable), (3, 3, 1));
    assert_eq!(seen.all(), [vec![0, 1, 2], vec![8, 9]]);
    let reasons: Vec<_> = dead(&brokers, "jobs", "worker")
        .await
        .into_iter()
        .map(|letter| letter.failure.reason)
        .collect();
    let owed = reasons
        .iter()
        .filter(|reason| reason.contains("1 outcomes for 2 messages"));
    assert_eq!(owed.count(), 2, "{reasons:?}");
}
