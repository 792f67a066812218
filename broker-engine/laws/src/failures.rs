//! Failures are outcomes: tried again by the policy, then dead letters.

use std::time::Duration;

use broker::engine::{Attempt, Permanent};
use broker::prelude::*;
use tokio::time::Instant;

use crate::stage::Stage;
use crate::support::{Seen, dead, publish_numbers, quick, until};

pub(crate) async fn after_its_own_last_attempt_each_is_a_dead_letter(stage: Stage) {
    let (brokers, mails) = (stage.brokers(), stage.stream("mails"));
    let seen = Seen::<(u64, u32)>::default();
    async fn bounce(
        Json(mail): Json<u64>,
        Attempt(attempt): Attempt,
        State(seen): State<Seen<(u64, u32)>>,
    ) -> Result<(), std::io::Error> {
        seen.push((mail, attempt));
        Err(std::io::Error::other("the mail bounced"))
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(5))
        .subscribe(Subscriber::new(mails, "sender").handle(bounce))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, mails, 0..2, 0).await;
    until("both are given up", || {
        engine.receipt().of_group("sender").dead == 2
    })
    .await;
    let receipt = engine.stop().await.unwrap();
    for mail in 0..2 {
        let attempts = seen.all().into_iter().filter(|(one, _)| *one == mail);
        assert!(attempts.map(|(_, attempt)| attempt).eq(1..=5), "{mail}: {seen:?}");
    }
    let tally = receipt.of_group("sender");
    assert_eq!(
        (tally.started, tally.retried, tally.dead, tally.handled),
        (10, 8, 2, 0)
    );
    let letters = dead(&brokers, mails, "sender").await;
    assert_eq!(letters.len(), 2);
    assert!(
        letters
            .iter()
            .all(|letter| letter.attempts == 5 && letter.failure.reason == "the mail bounced")
    );
    brokers.close().await.unwrap();
}

pub(crate) async fn no_attempt_comes_before_its_time(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    let seen = Seen::default();
    let told = seen.clone();
    let fail = move || {
        told.push(Instant::now());
        async { Err::<(), _>("no") }
    };
    let policy = RetryPolicy::attempts(5)
        .delay(Duration::from_millis(200))
        .multiplier(3.0)
        .max_delay(Duration::from_secs(1));
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new(jobs, "worker").handle(fail).retry(policy))
        .start()
        .await
        .unwrap();
    brokers.publish(jobs, Message::text("x")).await.unwrap();
    until("five attempts", || seen.len() == 5).await;
    engine.stop().await.unwrap();
    let at = seen.all();
    for (gap, most) in at
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .zip([200, 600, 1000, 1000])
    {
        let most = Duration::from_millis(most);
        assert!(gap >= most / 2, "{gap:?} of {most:?}");
    }
}

pub(crate) async fn a_permanent_error_is_not_tried_again(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    async fn gone() -> Result<(), Permanent> {
        Err(Permanent::new("the account is closed"))
    }
    let engine = Engine::builder(brokers.clone())
        .retry(quick(5))
        .subscribe(Subscriber::new(jobs, "worker").handle(gone))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    brokers.publish(jobs, Message::text("x")).await.unwrap();
    until("it is given up", || engine.receipt().of_group("worker").dead == 1).await;
    let receipt = engine.stop().await.unwrap();
    assert_eq!(receipt.of_group("worker").started, 1);
    assert_eq!(dead(&brokers, jobs, "worker").await[0].attempts, 1);
}

pub(crate) async fn undecodable_messages_panics_and_timeouts_are_outcomes(stage: Stage) {
    let (brokers, numbers) = (stage.brokers(), stage.stream("numbers"));
    let seen = Seen::<u64>::default();
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        match number {
            13 => panic!("thirteen"),
            14 => std::future::pending().await,
            _ => seen.push(number),
        }
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .retry(quick(2))
        .subscribe(
            Subscriber::new(numbers, "adder")
                .handle(handle)
                .timeout(Duration::from_secs(3)),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    for text in ["1", "x", "13", "14", "2"] {
        brokers.publish(numbers, Message::text(text)).await.unwrap();
    }
    until("three are given up", || {
        engine.receipt().of_group("adder").dead == 3
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("adder");
    assert_eq!((tally.undecodable, tally.panics, tally.timeouts), (1, 2, 2));
    assert_eq!(seen.all(), [1, 2]);
    let mut reasons: Vec<_> = dead(&brokers, numbers, "adder")
        .await
        .into_iter()
        .map(|letter| letter.failure.reason)
        .collect();
    reasons.sort();
    assert!(reasons[0].contains("did not end within 3s"), "{reasons:?}");
    assert!(reasons[1].contains("panicked: thirteen"), "{reasons:?}");
    assert!(reasons[2].contains("can't be decoded"), "{reasons:?}");
}
