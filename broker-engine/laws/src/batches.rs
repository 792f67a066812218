//! Handlers of batches: an outcome for each message, and no key in two batches at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::engine::{Attempt, BoxError, Outcome, Permanent};
use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{Seen, dead, publish_numbers, quick, until};
use crate::watch::{Keyed, Watch};

/// Refuses what ends in 3 at its first attempt, gives up what ends in 7, and is done with the rest.
async fn sort(
    numbers: Vec<(Json<u64>, Attempt)>,
    State(seen): State<Seen<Vec<(u64, u32)>>>,
) -> Vec<Result<Outcome, BoxError>> {
    seen.push(
        numbers
            .iter()
            .map(|(Json(number), Attempt(attempt))| (*number, *attempt))
            .collect(),
    );
    let outcome = |(Json(number), Attempt(attempt)): &(Json<u64>, Attempt)| match (number % 10, attempt) {
        (3, 1) => Err("not yet".into()),
        (7, _) => Err(Permanent::new("never").into()),
        (9, _) => Ok(Outcome::Skip),
        _ => Ok(Outcome::Ack),
    };
    numbers.iter().map(outcome).collect()
}

pub(crate) async fn each_message_of_a_batch_has_its_own_outcome(stage: Stage) {
    let (brokers, numbers) = (stage.brokers(), stage.stream("numbers"));
    let seen = Seen::<Vec<(u64, u32)>>::default();
    publish_numbers(&brokers, numbers, 0..100, 0).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(3))
        .subscribe(Subscriber::new(numbers, "sorter").batch(25, sort))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    until("all are settled", || {
        let tally = engine.receipt().of_group("sorter");
        tally.handled + tally.skipped + tally.dead == 100
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("sorter");
    assert_eq!(
        (
            tally.handled,
            tally.skipped,
            tally.dead,
            tally.retried,
            tally.started
        ),
        (80, 10, 10, 10, 110)
    );
    let batches = seen.all();
    assert!(
        batches.iter().all(|batch| (1..=25).contains(&batch.len())),
        "{batches:?}"
    );
    assert!(batches.len() < 40, "they come together: {batches:?}");
    let mut all: Vec<_> = batches.concat();
    all.sort_unstable();
    let again = |number: u64| std::iter::once((number, 1)).chain((number % 10 == 3).then_some((number, 2)));
    assert_eq!(all, (0..100).flat_map(again).collect::<Vec<_>>());
    let letters = dead(&brokers, numbers, "sorter").await;
    assert_eq!(letters.len(), 10);
    assert!(
        letters
            .iter()
            .all(|letter| letter.failure.reason == "never" && letter.attempts == 1)
    );
    let groups = brokers.default_broker().groups(numbers).await.unwrap();
    assert_eq!((groups[0].pending, groups[0].lag), (0, 0));
    brokers.close().await.unwrap();
}

async fn watch(numbers: Vec<Keyed>, State(watch): State<Watch>) {
    let work = tokio::time::sleep(Duration::from_millis(2));
    watch.hold(numbers, work).await;
}

pub(crate) async fn no_key_is_in_two_batches_at_once(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let messages = 2000;
    let state = Watch::default();
    publish_numbers(&brokers, orders, 0..messages, 13).await;
    let engine = Engine::builder(brokers.clone())
        .state(state.clone())
        .subscribe(Subscriber::new(orders, "billing").batch(5, watch).concurrency(4))
        .start()
        .await
        .unwrap();
    state.handled(messages).await;
    state.kept_order(engine, messages).await;
    assert!(state.most() > 1, "batches overlap");
    assert!(state.handlings() <= messages as usize / 2, "they are batches");
}

pub(crate) async fn in_sequence_a_failed_message_of_a_batch_holds_back_its_key(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let seen = Seen::<(u64, u32)>::default();
    async fn handle(
        numbers: Vec<(Json<u64>, Attempt)>,
        State(seen): State<Seen<(u64, u32)>>,
    ) -> Vec<Result<(), BoxError>> {
        let outcome = |(Json(number), Attempt(attempt)): (Json<u64>, Attempt)| {
            seen.push((number, attempt));
            if number == 0 && attempt < 3 {
                Err("not yet".into())
            } else {
                Ok(())
            }
        };
        numbers.into_iter().map(outcome).collect()
    }
    publish_numbers(&brokers, orders, 0..12, 3).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(5))
        .subscribe(
            Subscriber::new(orders, "billing")
                .batch(4, handle)
                .concurrency(2)
                .sequential(),
        )
        .start()
        .await
        .unwrap();
    until("all are settled", || {
        engine.receipt().of_group("billing").handled == 12
    })
    .await;
    engine.stop().await.unwrap();
    let of_key = |key: u64| {
        seen.all()
            .into_iter()
            .filter(move |(number, _)| number % 3 == key)
    };
    assert_eq!(
        of_key(0).collect::<Vec<_>>(),
        [(0, 1), (0, 2), (0, 3), (3, 1), (6, 1), (9, 1)],
        "the key of the one that failed waited for it"
    );
    assert!(of_key(1).map(|(number, _)| number).eq([1, 4, 7, 10]));
    let position = |wanted| seen.all().iter().position(|one| *one == wanted).unwrap();
    assert!(position((1, 1)) < position((0, 3)), "and no other did");
}

pub(crate) async fn a_panic_or_a_timeout_is_that_of_each_message_of_the_batch(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handle = move |numbers: Vec<Json<u64>>| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0 => panic!("{} at once", numbers.len()),
                1 => std::future::pending().await,
                _ => Ok::<_, BoxError>(()),
            }
        }
    };
    publish_numbers(&brokers, jobs, 0..5, 0).await;
    let engine = Engine::builder(brokers.clone())
        .retry(quick(5))
        .subscribe(
            Subscriber::new(jobs, "worker")
                .batch(5, handle)
                .linger(Duration::from_secs(1))
                .timeout(Duration::from_secs(5)),
        )
        .start()
        .await
        .unwrap();
    until("all are handled", || {
        engine.receipt().of_group("worker").handled == 5
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("worker");
    assert_eq!(
        (tally.panics, tally.timeouts, tally.retried, tally.dead),
        (5, 5, 10, 0)
    );
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}
