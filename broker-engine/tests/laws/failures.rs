//! Failures are outcomes: tried again by the policy, then dead letters.

use std::time::Duration;

use broker::engine::{OnUndecodable, Payload, Permanent, RetryAfter};
use broker::prelude::*;
use tokio::time::Instant;

use crate::support::{Seen, dead, inline, quick, until};

#[tokio::test(start_paused = true)]
async fn gaps_between_attempts_follow_the_schedule_and_are_never_early() {
    let brokers = inline();
    let seen = Seen::default();
    let told = seen.clone();
    let fail = move || {
        told.push(Instant::now());
        async { Err::<(), _>("no") }
    };
    let policy = RetryPolicy::attempts(5)
        .delay(Duration::from_secs(1))
        .multiplier(3.0)
        .max_delay(Duration::from_secs(5));
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new("jobs", "worker").handle(fail).retry(policy))
        .start()
        .await
        .unwrap();
    brokers.publish("jobs", Message::text("x")).await.unwrap();
    until("five attempts", || seen.len() == 5).await;
    engine.stop().await.unwrap();
    let at = seen.all();
    for (gap, most) in at.windows(2).map(|pair| pair[1] - pair[0]).zip([1, 3, 5, 5]) {
        let most = Duration::from_secs(most);
        assert!(
            gap >= most / 2 && gap <= most + Duration::from_millis(300),
            "{gap:?} of {most:?}"
        );
    }
}

/// Where the error is `anyhow`'s, as handlers mostly have it, what is in it counts: by itself, and below a context.
#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_known_within_any_other() {
    use anyhow::Context as _;

    let brokers = inline();
    async fn number(Payload(text): Payload) -> anyhow::Result<()> {
        match &*text {
            b"marked" => return Err(Permanent::new("closed").into()),
            b"below" => return Err(Permanent::new("closed")).context("billing"),
            b"later" => return Err(RetryAfter::new(Duration::from_secs(30), "closed today").into()),
            text => std::str::from_utf8(text)?.parse::<u32>()?,
        };
        Ok(())
    }
    let policy = quick(5).permanent::<std::num::ParseIntError>();
    let engine = Engine::builder(brokers.clone())
        .retry(policy)
        .subscribe(Subscriber::new("jobs", "worker").handle(number).concurrency(4))
        .start()
        .await
        .unwrap();
    let began = Instant::now();
    for text in ["marked", "below", "x", "later"] {
        brokers.publish("jobs", Message::text(text)).await.unwrap();
    }
    let tally = |engine: &Engine| engine.receipt().of_group("worker");
    until("three are given up", || tally(&engine).dead == 3).await;
    assert_eq!((tally(&engine).started, tally(&engine).retried), (4, 1));
    assert!(began.elapsed() < Duration::from_secs(30));
    until("one rested as long as it asked for", || {
        tally(&engine).started == 5
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(30));
    engine.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn undecodable_messages_are_skipped_where_the_policy_says_so() {
    let brokers = inline();
    async fn handle(Json(_): Json<u64>) {}
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new("numbers", "adder")
                .handle(handle)
                .on_undecodable(OnUndecodable::Skip),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    brokers.publish("numbers", Message::text("x")).await.unwrap();
    until("it is skipped", || {
        engine.receipt().of_group("adder").skipped == 1
    })
    .await;
    engine.stop().await.unwrap();
    assert!(dead(&brokers, "numbers", "adder").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn redeliveries_per_second_stay_within_the_budget() {
    let brokers = inline();
    let seen = Seen::default();
    let told = seen.clone();
    let fail = move || {
        told.push(Instant::now());
        async { Err::<(), _>("always") }
    };
    let policy = RetryPolicy::attempts(1000).delay(Duration::ZERO).budget(50.0);
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new("jobs", "worker").handle(fail).retry(policy))
        .start()
        .await
        .unwrap();
    let began = Instant::now();
    for _ in 0..5 {
        brokers.publish("jobs", Message::text("x")).await.unwrap();
    }
    until("ten seconds", || began.elapsed() >= Duration::from_secs(10)).await;
    engine.stop().await.unwrap();
    let redelivered = seen.len() - 5;
    assert!((400..=510).contains(&redelivered), "{redelivered} in ten seconds");
}
