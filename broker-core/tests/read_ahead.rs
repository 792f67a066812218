//! Reading ahead: the next messages are fetched while those before them are handled, bounded and losing nothing.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::{Broker, Error, ErrorKind, Retry};
use futures_util::FutureExt as _;
use support::{CLAIMS, Script, Step, broker, broker_with, in_flight, numbered, settings, subscribe};
use tokio::sync::Semaphore;
use tokio::time::Instant;

fn ahead() -> (Broker, Script) {
    broker_with(Script::new(CLAIMS).reading_ahead(), settings())
}

/// Waits until the second read is under way.
async fn reads_on(script: &Script) {
    script
        .until("it reads on", |state| state.count("read") == 2)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_fetch_and_a_slow_handler_take_their_time_together() {
    let (broker, script) = ahead();
    script.put(40);
    let second = Duration::from_secs(1);
    script.then("read", (0..10).map(|_| Step::Wait(second)));
    let mut deliveries = subscribe(&broker, 8).await;
    let start = Instant::now();
    for _ in 0..10 {
        let mut batch = deliveries.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.len(), 4, "half of what it may hold");
        tokio::time::sleep(second).await;
        batch.ack().await.unwrap();
    }
    // The first fetch has nothing to go beside.
    assert_eq!(start.elapsed(), second * 11);
    assert_eq!(script.acked().len(), 40);
}

/// Law 13.
#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_counts_within_the_prefetch() {
    for prefetch in 1..=9 {
        let (broker, script) = ahead();
        script.put(100);
        let mut deliveries = subscribe(&broker, prefetch).await;
        let mut seen = Vec::new();
        for round in 0..100 {
            let delivery = deliveries.next().await.unwrap().unwrap();
            seen.push(String::from_utf8(delivery.payload().to_vec()).unwrap());
            tokio::task::yield_now().await;
            if round % 2 == 0 {
                delivery.ack_later();
            } else {
                delivery.ack().await.unwrap();
            }
        }
        assert_eq!(seen, numbered(0..100), "prefetch {prefetch}");
        deliveries.settled().await.unwrap();
        // An ack that goes along with a read has left, and its place is taken, before its answer is there.
        assert!(script.state().most_pending <= prefetch, "prefetch {prefetch}");
        assert_eq!(in_flight(&broker).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_goes_back_without_an_attempt() {
    for leave in [true, false] {
        let (broker, script) = ahead();
        script.put(8);
        let mut deliveries = subscribe(&broker, 8).await;
        let held = deliveries.next().await.unwrap().unwrap();
        script
            .until("the rest is read ahead", |state| state.pending.len() == 8)
            .await;
        // Also what its task has brought and nobody has asked for.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if leave {
            deliveries.close().await.unwrap();
        } else {
            drop(deliveries);
            script
                .until("what was read ahead is back", |state| state.given_back.len() == 7)
                .await;
        }
        let back: BTreeSet<u64> = script.state().given_back.iter().copied().collect();
        assert_eq!(back, (1..8).collect(), "each of them once");
        assert_eq!(in_flight(&broker).await, 1);
        held.ack().await.unwrap();
        let mut others = subscribe(&broker, 8).await;
        for _ in 0..7 {
            let delivery = others.next().await.unwrap().unwrap();
            assert_eq!(delivery.attempt(), 1);
            delivery.ack().await.unwrap();
        }
        assert_eq!(script.acked().len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_ahead_ends_with_its_subscription() {
    let (broker, script) = ahead();
    script.put(4);
    let mut deliveries = subscribe(&broker, 8).await;
    let mut held = deliveries.next_batch().await.unwrap().unwrap();
    reads_on(&script).await;
    drop(deliveries);
    tokio::time::sleep(Duration::from_millis(1)).await;
    script.put(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(script.state().pending.len(), 4, "nobody reads any more");
    held.ack().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_the_broker_ends_a_read_ahead_and_gives_back() {
    let (broker, script) = ahead();
    script.put(8);
    let mut deliveries = subscribe(&broker, 8).await;
    let held = deliveries.next().await.unwrap().unwrap();
    script
        .until("the rest is read ahead", |state| state.pending.len() == 8)
        .await;
    held.ack().await.unwrap();
    let start = Instant::now();
    broker.close().await.unwrap();
    assert!(deliveries.next().await.is_none());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_error_ahead_is_told_after_what_came_before_it() {
    let (broker, script) = ahead();
    script.put(4);
    let mut deliveries = subscribe(&broker, 4).await;
    let first = deliveries.next_batch().await.unwrap().unwrap();
    assert_eq!(first.len(), 2);
    drop(first);
    reads_on(&script).await;
    let error = Error::new(ErrorKind::Permission, "not any more").retry(Retry::Never);
    script.fail("read", 1, &error);
    let second = deliveries.next_batch().await.unwrap().unwrap();
    assert_eq!(second.len(), 2);
    let third = deliveries.next_batch().await.unwrap();
    assert_eq!(third.unwrap_err().kind(), ErrorKind::Permission);
    script.put(1);
    assert_eq!(deliveries.next_batch().await.unwrap().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn acks_do_not_linger_while_a_read_ahead_is_waited_for() {
    let (broker, script) = ahead();
    script.put(4);
    let mut deliveries = subscribe(&broker, 8).await;
    let batch = deliveries.next_batch().await.unwrap().unwrap();
    reads_on(&script).await;
    let start = Instant::now();
    batch.ack_later();
    let next = tokio::spawn(async move { deliveries.next().await.unwrap().unwrap() });
    script
        .until("the acks arrive", |state| state.acked.len() == 4)
        .await;
    assert!(
        start.elapsed() <= Duration::from_millis(1),
        "{:?}",
        start.elapsed()
    );
    script.put(1);
    next.await.unwrap().ack().await.unwrap();
}

/// A read that brought less than it could is followed by one that takes the acks along.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_ahead_where_little_was_there() {
    let (broker, script) = ahead();
    script.put(3);
    let mut deliveries = subscribe(&broker, 8).await;
    let batch = deliveries.next_batch().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(script.count("read"), 1);
    batch.ack_later();
    assert!(deliveries.next().now_or_never().is_none());
    reads_on(&script).await;
    let order: Vec<_> = script.state().calls.iter().map(|call| call.operation).collect();
    assert_eq!(order.get(order.len() - 2..), Some(&["ack", "read"][..]));
}

/// Waits until the acks that a kept read takes along are on their way, lets them through, and settles `delivery`.
async fn settles_beside(script: &Script, gate: &Semaphore, delivery: Delivery) {
    script
        .until("the ack is on its way", |state| state.count("ack") == 1)
        .await;
    gate.add_permits(1);
    let acked = tokio::time::timeout(Duration::from_secs(1), delivery.ack()).await;
    assert!(matches!(acked, Ok(Ok(_))), "somebody is in the way: {acked:?}");
    assert_eq!(script.acked(), [0, 1]);
}

/// The acks of a read that its caller keeps, and does not poll, keep nobody else from settling.
#[tokio::test(start_paused = true)]
async fn a_kept_read_does_not_hold_the_turn_to_send() {
    let (broker, script) = broker();
    script.put(2);
    let mut deliveries = subscribe(&broker, 8).await;
    let first = deliveries.next().await.unwrap().unwrap();
    let second = deliveries.next().await.unwrap().unwrap();
    first.ack_later();
    let gate = script.gate("ack");
    assert!(deliveries.next().now_or_never().is_none(), "nothing is there");
    settles_beside(&script, &gate, second).await;
}

/// Nor does one that goes by name.
#[tokio::test(start_paused = true)]
async fn a_kept_read_by_name_does_not_hold_the_turn_to_send() {
    let (broker, script) = broker();
    script.put(2);
    let mut batch = broker.read("s", "g", 2).await.unwrap();
    let (first, second) = (batch.next().unwrap(), batch.next().unwrap());
    first.ack_later();
    let gate = script.gate("ack");
    let mut reading = Box::pin(broker.read_wait("s", "g", 2, Duration::from_secs(60)));
    assert!(reading.as_mut().now_or_never().is_none(), "nothing is there");
    settles_beside(&script, &gate, second).await;
    drop(reading);
}

/// The acks leave with the read that follows them, and do not wait for its answer.
#[tokio::test(start_paused = true)]
async fn acks_travel_with_the_read_that_follows_them() {
    let (broker, script) = broker();
    script.put(4);
    let mut deliveries = subscribe(&broker, 2).await;
    let batch = deliveries.next_batch().await.unwrap().unwrap();
    batch.ack_later();
    let second = Duration::from_secs(1);
    script.then("ack", [Step::Wait(second)]);
    script.then("read", [Step::Wait(second)]);
    let start = Instant::now();
    let batch = deliveries.next_batch().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), second, "side by side");
    assert_eq!(batch.len(), 2);
    assert_eq!(script.acked(), [0, 1]);
}

/// Law 11: dropping a read while its acks are on their way gives back what it brought.
#[tokio::test(start_paused = true)]
async fn what_was_read_beside_slow_acks_is_not_lost_with_its_caller() {
    let (broker, script) = broker();
    script.put(4);
    let mut deliveries = subscribe(&broker, 2).await;
    deliveries.next_batch().await.unwrap().unwrap().ack_later();
    script.then("ack", [Step::Hang]);
    assert!(deliveries.next_batch().now_or_never().is_none());
    script
        .until("the next were read", |state| state.count("read") == 2)
        .await;
    drop(deliveries);
    script
        .until("they are back", |state| state.given_back == [2, 3])
        .await;
}
