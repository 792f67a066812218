//! What happens where dead letters can't be written.

use broker::Brokers;
use broker::prelude::*;

use crate::stage::{Barred, Stage};
use crate::support::{dead, publish_numbers, until};

/// Three are never handled.
async fn refuse(Json(number): Json<u64>) -> Result<(), &'static str> {
    if number < 3 { Err("never") } else { Ok(()) }
}

async fn engine(brokers: &Brokers, jobs: &str) -> Engine {
    Engine::builder(brokers.clone())
        .retry(RetryPolicy::attempts(1))
        .subscribe(Subscriber::new(jobs, "worker").handle(refuse))
        .keep_brokers_open()
        .start()
        .await
        .unwrap()
}

async fn pending(brokers: &Brokers, jobs: &str) -> u64 {
    brokers.default_broker().groups(jobs).await.unwrap()[0].pending
}

pub(crate) async fn unavailable_dead_letters_hold_their_messages(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    publish_numbers(&brokers, jobs, 0..1, 0).await;
    let first = engine(&brokers, jobs).await;
    until("one is given up", || first.receipt().of_group("worker").dead == 1).await;
    first.stop().await.unwrap();
    let barred = Barred {
        brokers: brokers.clone(),
        stream: jobs,
        group: "worker",
    };
    stage.kind.bar(&barred).await;
    publish_numbers(&brokers, jobs, 1..6, 0).await;
    let engine = engine(&brokers, jobs).await;
    until("it tried several times", || {
        engine.receipt().of_group("worker").settle_errors >= 3
    })
    .await;
    assert!(
        pending(&brokers, jobs).await >= 1,
        "the message is not settled at its source"
    );
    stage.kind.unbar(&barred).await;
    until("it goes through", || {
        let tally = engine.receipt().of_group("worker");
        (tally.dead, tally.handled) == (2, 3)
    })
    .await;
    engine.stop().await.unwrap();
    let letters = dead(&brokers, jobs, "worker").await;
    let mut numbers: Vec<_> = letters
        .iter()
        .filter_map(|letter| letter.message.to_json::<u64>().ok())
        .filter(|number| *number > 0)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2], "each is written once");
    assert_eq!(pending(&brokers, jobs).await, 0);
    brokers.close().await.unwrap();
}
