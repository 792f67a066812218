//! What happens where dead letters that the engine publishes can't be written, or where nobody hears that they were.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::Brokers;
use broker::inline::InlineConfig;
use broker::prelude::*;

use crate::faulty::{Faults, faulty};
use crate::support::{dead, publish_numbers, until};

/// Two are never handled.
async fn refuse(Json(number): Json<u64>) -> Result<(), &'static str> {
    if number < 2 { Err("never") } else { Ok(()) }
}

async fn engine(brokers: &Brokers) -> Engine {
    Engine::builder(brokers.clone())
        .retry(RetryPolicy::attempts(1))
        .subscribe(Subscriber::new("jobs", "worker").handle(refuse))
        .keep_brokers_open()
        .start()
        .await
        .unwrap()
}

/// What the engine published as dead letters, on a broker that keeps none.
async fn published(brokers: &Brokers) -> Vec<Delivery> {
    let broker = brokers.default_broker();
    let wait = Duration::from_secs(1);
    broker
        .receive_many("jobs.worker.dead", "looking", 10, wait)
        .await
        .unwrap()
}

async fn pending(brokers: &Brokers) -> u64 {
    brokers.default_broker().groups("jobs").await.unwrap()[0].pending
}

#[tokio::test(start_paused = true)]
async fn unavailable_holds_where_the_engine_publishes_them() {
    let faults = Faults::default();
    let reliable = InlineConfig::default()
        .capabilities(Capabilities::RELIABLE_MESSAGING)
        .unwrap();
    let brokers = faulty(reliable, &faults);
    faults.dead_writes.store(usize::MAX, Ordering::SeqCst);
    publish_numbers(&brokers, "jobs", 0..5, 0).await;
    let engine = engine(&brokers).await;
    until("it tried several times", || {
        engine.receipt().of_group("worker").settle_errors >= 5
    })
    .await;
    assert!(
        pending(&brokers).await >= 1,
        "the message is not settled at its source"
    );
    assert!(published(&brokers).await.is_empty());
    faults.dead_writes.store(0, Ordering::SeqCst);
    until("it goes through", || {
        let tally = engine.receipt().of_group("worker");
        (tally.dead, tally.handled) == (2, 3)
    })
    .await;
    engine.stop().await.unwrap();
    assert_eq!(published(&brokers).await.len(), 2);
    assert_eq!(pending(&brokers).await, 0);
}

#[tokio::test(start_paused = true)]
async fn ack_failure_after_write_doubles_nothing_while_the_process_lives() {
    let faults = Faults::default();
    let reliable = InlineConfig::default()
        .capabilities(Capabilities::RELIABLE_MESSAGING)
        .unwrap();
    let brokers = faulty(reliable, &faults);
    faults.acks.store(3, Ordering::SeqCst);
    publish_numbers(&brokers, "jobs", 0..2, 0).await;
    let engine = engine(&brokers).await;
    until("both are given up", || pending_is_over(&engine, &faults.acks)).await;
    engine.stop().await.unwrap();
    assert_eq!(
        published(&brokers).await.len(),
        2,
        "each is written once, however often its ack fails"
    );
    assert_eq!(pending(&brokers).await, 0);
}

fn pending_is_over(engine: &Engine, faults: &std::sync::atomic::AtomicUsize) -> bool {
    engine.receipt().of_group("worker").dead == 2 && faults.load(Ordering::SeqCst) == 0
}

#[tokio::test(start_paused = true)]
async fn ack_failure_after_write_doubles_nothing_where_the_broker_keeps_them() {
    let faults = Faults::default();
    let keeps = InlineConfig::default()
        .capabilities(Capabilities::ENTERPRISE_STREAMING)
        .unwrap();
    let brokers = faulty(keeps, &faults);
    faults.burials.store(2, Ordering::SeqCst);
    publish_numbers(&brokers, "jobs", 0..2, 0).await;
    let engine = engine(&brokers).await;
    until("both are given up", || pending_is_over(&engine, &faults.burials)).await;
    engine.stop().await.unwrap();
    assert_eq!(dead(&brokers, "jobs", "worker").await.len(), 2);
    assert_eq!(pending(&brokers).await, 0);
}

#[tokio::test(start_paused = true)]
async fn ack_failure_after_write_in_a_process_that_ends_leaves_two_letters_of_one_id_at_most() {
    let faults = Faults::default();
    let open = |faults: &Faults| {
        let reliable = InlineConfig::default().shared("ack-failure-after-write");
        faulty(
            reliable.capabilities(Capabilities::RELIABLE_MESSAGING).unwrap(),
            faults,
        )
    };
    let brokers = open(&faults);
    faults.acks.store(usize::MAX, Ordering::SeqCst);
    publish_numbers(&brokers, "jobs", 0..1, 0).await;
    let first = engine(&brokers).await;
    until("the letter is written, and the ack is not through", || {
        first.receipt().of_group("worker").settle_errors >= 2
    })
    .await;
    drop(first);
    // The next process, which finds the message there once its lease is over.
    let brokers = open(&Faults::default());
    let second = engine(&brokers).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    second.stop().await.unwrap();
    let letters = published(&brokers).await;
    let id = |letter: &Delivery| {
        letter
            .headers()
            .get_str("dead-letter-id")
            .unwrap()
            .unwrap()
            .to_owned()
    };
    let ids: HashSet<_> = letters.iter().map(id).collect();
    assert!((1..=2).contains(&letters.len()) && ids.len() == 1, "{letters:?}");
    assert_eq!(pending(&brokers).await, 0);
}
