//! Stopping loses nothing, wherever it happens.

use std::time::Duration;

use broker::engine::Context;
use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{PATIENCE, Seen, eventually, publish_numbers, until};

/// How often it is stopped, and over how many messages: the long form by `ENGINE_STOPS=50`.
fn stops() -> (u64, u64) {
    let asked = std::env::var("ENGINE_STOPS").ok();
    match asked.and_then(|stops| stops.parse().ok()) {
        Some(stops) => (stops, stops * 400),
        None => (10, 2000),
    }
}

async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
    seen.push(number);
    if number % 7 == 0 {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// Runs engines one after the other, each stopped at some point, every third without any time to drain; then one to the
/// end.
pub(crate) async fn stopped_anywhere_nothing_is_lost_and_only_what_was_cut_off_comes_twice(stage: Stage) {
    let orders = stage.stream("orders");
    let (stops, messages) = stops();
    let brokers = stage.brokers();
    publish_numbers(&brokers, orders, 0..messages, 16).await;
    let seen = Seen::<u64>::default();
    let (mut settled, mut in_flight, mut given_back) = (0, 0, 0);
    for round in 0..=stops {
        let drain = Duration::from_secs(if round % 3 == 0 { 0 } else { 30 });
        let engine = Engine::builder(stage.brokers())
            .state(seen.clone())
            .drain_timeout(drain)
            .subscribe(Subscriber::new(orders, "billing").handle(handle).concurrency(4))
            .start()
            .await
            .unwrap();
        // The share of what is left that this round may have, by chance.
        let left = messages - settled;
        let more = fastrand::u64(0..=2 * left / (stops - round + 1)).min(left);
        let enough = || engine.receipt().settled >= if round == stops { left } else { more };
        until("some more are handled", enough).await;
        let receipt = engine.stop().await.unwrap();
        assert!(drain.is_zero() || receipt.abandoned == 0, "{receipt}");
        settled += receipt.settled;
        in_flight += receipt.abandoned;
        given_back += receipt.given_back;
    }
    let mut all = seen.all();
    let handled = all.len() as u64;
    all.sort_unstable();
    all.dedup();
    assert!(all.iter().copied().eq(0..messages), "the union is complete");
    assert_eq!(settled, messages, "and the receipts add up");
    let twice = handled - messages;
    assert!(
        twice <= in_flight,
        "{twice} were handled twice, {in_flight} were cut off, {given_back} given back"
    );
    let groups = brokers.default_broker().groups(orders).await.unwrap();
    assert_eq!((groups[0].pending, groups[0].lag), (0, 0));
    brokers.close().await.unwrap();
}

pub(crate) async fn what_is_being_handled_ends_and_may_publish(stage: Stage) {
    let (brokers, jobs, done) = (stage.brokers(), stage.stream("jobs"), stage.stream("done"));
    let seen = Seen::<&'static str>::default();
    let finish = move |context: Context, State(seen): State<Seen<&'static str>>| async move {
        seen.push("began");
        tokio::time::sleep(Duration::from_millis(300)).await;
        context.publish(done, Message::text("done")).await.map(drop)
    };
    let engine = Engine::builder(stage.brokers())
        .state(seen.clone())
        .subscribe(Subscriber::new(jobs, "worker").handle(finish))
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, jobs, 0..1, 0).await;
    until("it is being handled", || seen.len() == 1).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (receipt.settled, receipt.abandoned, receipt.drained),
        (1, 0, true),
        "{receipt}"
    );
    let broker = brokers.default_broker();
    let published = broker.receive_many(done, "looking", 1, PATIENCE).await.unwrap();
    assert_eq!(published.len(), 1, "publishing is open to the last");
    brokers.close().await.unwrap();
}

pub(crate) async fn what_outlives_the_drain_is_cut_off_and_comes_again(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new(jobs, "worker").handle(std::future::pending::<()>))
        .drain_timeout(Duration::from_secs(2))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, jobs, 0..3, 0).await;
    let broker = brokers.default_broker();
    eventually("one is being handled and the others are read ahead", async || {
        let in_flight = broker.health_stats().await.counts.in_flight;
        (engine.receipt().of_group("worker").started, in_flight) == (1, 3)
    })
    .await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (receipt.abandoned, receipt.given_back, receipt.drained),
        (1, 2, false),
        "{receipt}"
    );
    let again: Vec<_> = broker
        .receive_many(jobs, "worker", 3, PATIENCE)
        .await
        .unwrap()
        .iter()
        .map(|delivery| (delivery.json::<u64>().unwrap(), delivery.attempt()))
        .collect();
    assert_eq!(again.len(), 3);
    assert!(
        again.contains(&(0, 2)) && again.contains(&(1, 1)) && again.contains(&(2, 1)),
        "{again:?}"
    );
}

pub(crate) async fn an_engine_is_stopped_from_inside_a_handler(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    let holder = Seen::<broker::engine::EngineHandle>::default();
    async fn stop(State(holder): State<Seen<broker::engine::EngineHandle>>) {
        holder.all()[0].stop();
    }
    let engine = Engine::builder(brokers.clone())
        .state(holder.clone())
        .subscribe(Subscriber::new(jobs, "worker").handle(stop))
        .start()
        .await
        .unwrap();
    holder.push(engine.handle());
    brokers.publish(jobs, Message::text("stop")).await.unwrap();
    let receipt = tokio::time::timeout(Duration::from_secs(20), engine.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.settled, 1);
}
