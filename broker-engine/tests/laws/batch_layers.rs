//! Layers over handlers of batches: each message keeps an outcome of its own.

use std::time::Duration;

use broker::Brokers;
use broker::engine::dedup::MemoryDedup;
use broker::engine::layers::{
    DeadLetterLayer, DedupLayer, FilterLayer, Meter, MetricsLayer, RetryLayer, TracingLayer,
};
use broker::engine::{BoxError, Outcome, Permanent, TallySnapshot};
use broker::prelude::*;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

use crate::support::{Seen, dead, inline, publish_numbers, quick, until, weak};

type Batches = Seen<Vec<u64>>;

/// What ends in 3 fails in the first batch that it is in, what ends in 7 in each, and what ends in 9 for good.
async fn sort(numbers: Vec<Json<u64>>, State(seen): State<Batches>) -> Vec<Result<Outcome, BoxError>> {
    let numbers: Vec<_> = numbers.into_iter().map(|Json(number)| number).collect();
    let known: Vec<_> = seen.all().concat();
    seen.push(numbers.clone());
    let outcome = |number: u64| match number % 10 {
        3 if !known.contains(&number) => Err("not yet".into()),
        7 => Ok(Outcome::nack("not today")),
        9 => Err(Permanent::new("never").into()),
        _ => Ok(Outcome::Ack),
    };
    numbers.into_iter().map(outcome).collect()
}

/// Runs a subscriber over the numbers to 20 until each of them is done with.
async fn run(
    brokers: &Brokers,
    seen: &Batches,
    subscriber: impl Into<broker::engine::Declared>,
) -> TallySnapshot {
    publish_numbers(brokers, "numbers", 0..20, 0).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(2))
        .subscribe(subscriber)
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    until("all are settled", || {
        let tally = engine.receipt().of_group("sorter");
        tally.handled + tally.skipped + tally.dead == 20
    })
    .await;
    engine.stop().await.unwrap().of_group("sorter")
}

#[tokio::test(start_paused = true)]
async fn those_of_a_batch_that_failed_are_tried_again_as_a_batch() {
    let (brokers, seen) = (inline(), Batches::default());
    let sorter = Subscriber::new("numbers", "sorter")
        .batch(20, sort)
        .layer(RetryLayer::new(quick(3)));
    let tally = run(&brokers, &seen, sorter).await;
    // What fails in each of the three goes to the broker, and once more through all of it.
    assert_eq!((tally.handled, tally.dead, tally.retried), (16, 4, 2));
    let batches = seen.all();
    assert_eq!(batches[0], (0..20).collect::<Vec<_>>());
    assert_eq!(batches[1..3], [vec![3, 7, 13, 17], vec![7, 17]]);
    let mut later = batches[3..].concat();
    later.sort_unstable();
    assert_eq!(later, [7, 7, 7, 17, 17, 17]);
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_gives_up_is_published_and_the_rest_goes_on() {
    let (brokers, seen) = (inline(), Batches::default());
    let sorter = Subscriber::new("numbers", "sorter")
        .batch(20, sort)
        .layer(DeadLetterLayer::new("graveyard", quick(1)).unwrap());
    let tally = run(&brokers, &seen, sorter).await;
    assert_eq!((tally.handled, tally.dead, tally.retried), (20, 0, 0));
    assert!(dead(&brokers, "numbers", "sorter").await.is_empty());
    let letters = brokers
        .default_broker()
        .receive_many("graveyard", "looking", 6, Duration::from_secs(30))
        .await
        .unwrap();
    let mut buried: Vec<(u64, String)> = letters
        .iter()
        .map(|letter| {
            let reason = letter.headers().get_str("dead-letter-reason").unwrap().unwrap();
            (letter.json().unwrap(), reason.to_owned())
        })
        .collect();
    buried.sort_unstable();
    let expected: [(u64, &str); 6] = [
        (3, "not yet"),
        (7, "not today"),
        (9, "never"),
        (13, "not yet"),
        (17, "not today"),
        (19, "never"),
    ];
    assert_eq!(
        buried,
        expected.map(|(number, reason)| (number, reason.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn each_id_of_a_batch_is_handled_once_and_a_failed_one_does_not_count() {
    // A broker that would itself drop the second of two would prove nothing.
    let (brokers, seen) = (weak(Capabilities::ENTERPRISE_STREAMING), Batches::default());
    let store = MemoryDedup::new(Duration::from_secs(3600), 1000);
    // Each number twice, under one id: the second in the same batch, or in a later one.
    let deliver = |numbers: std::ops::Range<u64>| {
        numbers.map(|number| Message::json(&number).unwrap().id(number.to_string()))
    };
    let messages: Vec<_> = deliver(0..10).chain(deliver(0..10)).collect();
    brokers
        .default_broker()
        .publish_batch("numbers", messages)
        .await
        .unwrap();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(3))
        .subscribe(
            Subscriber::new("numbers", "sorter")
                .batch(20, sort)
                .layer(FilterLayer::validate(|delivery| match delivery.json::<u64>() {
                    Ok(7 | 9) => Err("not for us"),
                    _ => Ok(()),
                }))
                .layer(DedupLayer::new(store)),
        )
        .start()
        .await
        .unwrap();
    until("all are settled", || {
        let tally = engine.receipt().of_group("sorter");
        tally.handled + tally.skipped + tally.dead == 20
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("sorter");
    let mut handled = seen.all().concat();
    handled.sort_unstable();
    assert_eq!(
        handled,
        [0, 1, 2, 3, 3, 4, 5, 6, 8],
        "3 failed once, and was handled again"
    );
    assert_eq!((tally.handled, tally.skipped), (8, 8));
}

#[derive(Clone, Default)]
struct Counted {
    started: Seen<u64>,
    ended: Seen<(String, bool)>,
}

impl Meter for Counted {
    fn started(&self, delivery: &Delivery) {
        self.started.push(delivery.json().unwrap());
    }

    fn ended(&self, stream: &str, group: &str, _: Duration, outcome: &Result<Outcome, BoxError>) {
        self.ended.push((format!("{stream}/{group}"), outcome.is_ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_batch_is_metered() {
    let (brokers, seen, meter) = (inline(), Batches::default(), Counted::default());
    let sorter = Subscriber::new("numbers", "sorter")
        .batch(20, sort)
        .layer(TracingLayer)
        .layer(MetricsLayer::new(meter.clone()));
    let tally = run(&brokers, &seen, sorter).await;
    assert_eq!(meter.started.len() as u64, tally.started);
    let ended = meter.ended.all();
    assert_eq!(ended.len() as u64, tally.started);
    assert!(ended.iter().all(|(place, _)| place == "numbers/sorter"));
    // 3 and 13 failed once, 9 and 19 for good; that 7 and 17 come again is an answer.
    assert_eq!(ended.iter().filter(|(_, answered)| !answered).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn towers_layers_work_on_batches_unchanged() {
    let brokers = inline();
    async fn wait(numbers: Vec<Json<u64>>) {
        if numbers.iter().any(|Json(number)| *number < 10) {
            std::future::pending::<()>().await;
        }
    }
    let engine = Engine::builder(brokers.clone())
        .retry(quick(1))
        .subscribe(
            Subscriber::new("numbers", "sorter")
                .batch(10, wait)
                .layer(TimeoutLayer::new(Duration::from_secs(30)))
                .layer(ConcurrencyLimitLayer::new(1))
                .layer(LoadShedLayer::new()),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 0..20, 0).await;
    until("all are settled", || {
        let tally = engine.receipt().of_group("sorter");
        (tally.dead, tally.handled) == (10, 10)
    })
    .await;
    engine.stop().await.unwrap();
    let letters = dead(&brokers, "numbers", "sorter").await;
    assert_eq!(letters.len(), 10);
    assert!(
        letters
            .iter()
            .all(|letter| letter.failure.reason.contains("timed out"))
    );
}
