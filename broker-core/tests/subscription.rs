//! Subscriptions: bounded, losing nothing, going on after errors and ending with the broker.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Capabilities, Error, ErrorKind};
use futures_util::FutureExt as _;
use support::{CLAIMS, Script, Step, broker, broker_with, in_flight, settings, subscribe};
use tokio::time::Instant;

/// Law 13.
#[tokio::test(start_paused = true)]
async fn no_more_than_the_prefetch_is_ever_unsettled() {
    for script in [Script::new(CLAIMS), Script::new(CLAIMS).at_once()] {
        let (broker, script) = broker_with(script, settings());
        script.put(200);
        let mut deliveries = subscribe(&broker, 8).await;
        let mut held = Vec::new();
        for round in 0..200_usize {
            if held.len() == 8 {
                assert!(deliveries.next().now_or_never().is_none(), "no room");
                held.remove(round % 8);
            }
            let delivery = deliveries.next().await.unwrap().unwrap();
            match round % 3 {
                0 => held.push(delivery),
                1 => delivery.ack_later(),
                _ => drop(delivery.ack().await.unwrap()),
            }
        }
        // Held deliveries that were dropped are in nobody's hands, but unsettled all the same.
        let dropped = script.state().pending.len() - held.len();
        assert!(
            script.state().most_pending <= 8 + dropped,
            "{}",
            script.state().most_pending
        );
        drop(held);
        deliveries.settled().await.unwrap();
        assert_eq!(in_flight(&broker).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn later_acks_travel_together_and_soon_without_another_read() {
    let (broker, script) = broker();
    script.put(100);
    let mut deliveries = subscribe(&broker, 100).await;
    for _ in 0..100 {
        deliveries.next().await.unwrap().unwrap().ack_later();
    }
    assert_eq!(script.count("ack"), 0);
    let start = Instant::now();
    script
        .until("the acks arrive", |state| state.acked.len() == 100)
        .await;
    assert!(
        start.elapsed() <= Duration::from_millis(12),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(script.sizes("ack"), [100]);
    assert_eq!(in_flight(&broker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_for_room_does_not_wait_for_acks_to_linger() {
    let (broker, script) = broker();
    script.put(64);
    let mut deliveries = subscribe(&broker, 32).await;
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(deliveries.next().await.unwrap().unwrap());
    }
    let start = Instant::now();
    let next = tokio::spawn(async move { deliveries.next().await.unwrap().unwrap() });
    tokio::task::yield_now().await;
    held.into_iter()
        .take(16)
        .for_each(broker_core::broker::Delivery::ack_later);
    next.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn settled_waits_for_the_acks_on_their_way_too() {
    let (broker, script) = broker();
    script.put(2);
    let gate = script.gate("ack");
    let mut deliveries = subscribe(&broker, 10).await;
    deliveries.next().await.unwrap().unwrap().ack_later();
    script
        .until("the ack is on its way", |state| state.count("ack") == 1)
        .await;
    assert!(deliveries.settled().now_or_never().is_none());
    deliveries.next().await.unwrap().unwrap().ack_later();
    assert!(deliveries.settled().now_or_never().is_none());
    gate.add_permits(1);
    deliveries.settled().await.unwrap();
    assert_eq!(script.acked(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn acks_that_fail_are_kept_and_tried_again() {
    let (broker, script) = broker();
    script.put(3);
    script.fail(
        "ack",
        2,
        &Error::new(ErrorKind::Unexpected, "the server stumbled"),
    );
    let mut deliveries = subscribe(&broker, 10).await;
    for _ in 0..3 {
        deliveries.next().await.unwrap().unwrap().ack_later();
    }
    assert!(deliveries.settled().await.is_err());
    assert_eq!(in_flight(&broker).await, 3, "they keep their places");
    script
        .until("the acks arrive", |state| state.acked.len() == 3)
        .await;
    assert_eq!(in_flight(&broker).await, 0);

    // Dropping who waits for them keeps them as well.
    script.put(1);
    script.then("ack", [Step::Hang]);
    deliveries.next().await.unwrap().unwrap().ack_later();
    assert!(deliveries.settled().now_or_never().is_none());
    script
        .until("the ack arrives", |state| state.acked.len() == 4)
        .await;
}

#[tokio::test(start_paused = true)]
async fn acks_of_a_dropped_subscription_arrive_all_the_same() {
    let (broker, script) = broker();
    script.put(1);
    script.fail(
        "ack",
        3,
        &Error::new(ErrorKind::Unexpected, "the server stumbled"),
    );
    let mut deliveries = subscribe(&broker, 10).await;
    deliveries.next().await.unwrap().unwrap().ack_later();
    drop(deliveries);
    script
        .until("the ack arrives", |state| state.acked.len() == 1)
        .await;
    assert_eq!(in_flight(&broker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_goes_back_at_once_when_it_is_dropped_or_closed() {
    for script in [Script::new(CLAIMS), Script::new(CLAIMS).at_once()] {
        let (broker, script) = broker_with(script, settings());
        script.put(10);
        let mut first = subscribe(&broker, 10).await;
        first.next().await.unwrap().unwrap().ack().await.unwrap();
        first.close().await.unwrap();
        assert_eq!(script.state().given_back.len(), 9, "before it has left");

        let mut second = subscribe(&broker, 10).await;
        second.next().await.unwrap().unwrap().ack().await.unwrap();
        drop(second);
        script
            .until("the rest is back", |state| state.ready.len() == 8)
            .await;
        assert!(
            script.state().ready.iter().all(|(_, attempt)| *attempt == 1),
            "it was no attempt"
        );
        assert_eq!(in_flight(&broker).await, 0);
    }
}

/// Law 11.
#[tokio::test(start_paused = true)]
async fn dropped_waits_for_the_next_delivery_lose_nothing() {
    let (broker, script) = broker();
    script.then(
        "read",
        (0..3000).map(|step| Step::Wait(Duration::from_micros(step % 700))),
    );
    let mut deliveries = subscribe(&broker, 16).await;
    let mut seen = BTreeSet::new();
    let mut number = 0;
    for drops in 0..2000_u64 {
        if drops % 4 == 0 {
            script.put(3);
            number += 3;
        }
        let patience = Duration::from_micros(drops * 7919 % 1000);
        if let Ok(next) = tokio::time::timeout(patience, deliveries.next()).await {
            let delivery = next.unwrap().unwrap();
            assert_eq!(delivery.attempt(), 1);
            assert!(seen.insert(delivery.id()), "delivered twice");
            delivery.ack_later();
        }
    }
    while seen.len() < number {
        let delivery = deliveries.next().await.unwrap().unwrap();
        assert!(seen.insert(delivery.id()), "delivered twice");
        delivery.ack_later();
    }
    deliveries.settled().await.unwrap();
    assert_eq!(script.acked().len(), number);
    assert_eq!(in_flight(&broker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_error_it_goes_on_and_does_not_spin_meanwhile() {
    let (broker, script) = broker();
    script.fail("read", 1000, &Error::new(ErrorKind::Permission, "not yours"));
    let mut deliveries = subscribe(&broker, 10).await;
    let start = Instant::now();
    let mut errors = 0;
    while start.elapsed() < Duration::from_secs(60) {
        assert!(deliveries.next().await.unwrap().is_err());
        errors += 1;
        if errors == 1 {
            assert_eq!(start.elapsed(), Duration::ZERO, "the first one is told at once");
        }
    }
    assert!((50..=80).contains(&errors), "{errors}");
    script.heal();
    script.put(1);
    let delivery = deliveries.next().await.unwrap().unwrap();
    delivery.ack().await.unwrap();
    script.put(1);
    assert!(deliveries.next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_cannot_wait_is_polled_with_pauses() {
    let (broker, script) = broker_with(Script::new(CLAIMS - Capabilities::BLOCKING_READ), settings());
    let mut deliveries = subscribe(&broker, 10).await;
    let idle = Duration::from_secs(60);
    assert!(tokio::time::timeout(idle, deliveries.next()).await.is_err());
    let reads = script.count("read");
    assert!((250..=350).contains(&reads), "{reads} reads in an idle minute");

    script.put(1);
    let start = Instant::now();
    let delivery = deliveries.next().await.unwrap().unwrap();
    assert!(start.elapsed() <= Duration::from_millis(200));
    delivery.ack().await.unwrap();

    script.put(3);
    let received = broker
        .receive_many("s", "g", 5, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(received.len(), 3);
    let error = broker.read_wait("s", "g", 1, idle).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_comes_back_early_from_a_wait_is_not_asked_in_a_hot_loop() {
    let (broker, script) = broker();
    script.then("read", (0..100_000).map(|_| Step::Empty));
    let mut deliveries = subscribe(&broker, 10).await;
    let patience = Duration::from_secs(10);
    assert!(tokio::time::timeout(patience, deliveries.next()).await.is_err());
    let received = broker.receive_many("s", "g", 5, patience).await.unwrap();
    assert!(received.is_empty());
    assert!(script.count("read") < 300, "{}", script.count("read"));
}

#[tokio::test(start_paused = true)]
async fn on_a_broker_without_acks_nothing_waits_to_be_settled() {
    let claims = Capabilities::SIMPLE_QUEUING | Capabilities::BLOCKING_READ;
    let (broker, script) = broker_with(Script::new(claims), settings());
    script.put(50);
    let mut deliveries = subscribe(&broker, 10).await;
    for _ in 0..50 {
        deliveries.next().await.unwrap().unwrap().ack_later();
    }
    deliveries.settled().await.unwrap();
    assert_eq!((script.count("ack"), in_flight(&broker).await), (0, 0));
    script.put(1);
    let error = deliveries.next().await.unwrap().unwrap().ack().await.unwrap_err();
    assert_eq!(error.capability(), Some(Capabilities::MESSAGE_ACKNOWLEDGEMENT));
}

#[tokio::test(start_paused = true)]
async fn an_independent_reader_settles_nothing() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(1), settings());
    let mut seen = broker.listen("s").start().await.unwrap();
    script.put(3);
    let mut batch = seen.next_batch().await.unwrap().unwrap();
    for error in [
        batch.ack().await.unwrap_err(),
        batch.nack(Default::default()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    batch.ack_later();
    assert_eq!((script.count("ack"), script.count("nack")), (0, 0));
    assert_eq!(in_flight(&broker).await, 0);
}

/// A read by name keeps nothing alive that its broker does not.
#[tokio::test(start_paused = true)]
async fn a_dropped_broker_leaves_nothing_behind() {
    let (broker, script) = broker();
    script.put(2);
    let mut batch = broker.read("s", "g", 2).await.unwrap();
    batch.next().unwrap().ack_later();
    script.fail(
        "ack",
        1000,
        &Error::new(ErrorKind::Unexpected, "the server stumbled"),
    );
    drop(batch);
    let weak = Arc::downgrade(&script.state);
    drop((broker, script));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(weak.strong_count(), 0, "nobody holds the adapter any more");
}
