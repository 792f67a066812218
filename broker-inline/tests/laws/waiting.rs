//! Waiting for messages: laws 11 and 12.

use broker_core::base::{BaseBroker, Disposition, ReadRequest};
use broker_core::{ErrorKind, Message};
use broker_inline::InlineConfig;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_answers_as_soon_as_there_is_a_message() {
    let rig = Rig::new(InlineConfig::default());
    let started = Instant::now();
    let reader = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("one"), 10, secs(5)).await }
    });
    tokio::time::sleep(ms(300)).await;
    rig.publish(&["a"]).await;
    assert_eq!(texts(&reader.await.unwrap()), ["a"]);
    assert_eq!(started.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_answers_with_what_there_is() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let started = Instant::now();
    assert_eq!(rig.wait(&member("one"), 10, secs(5)).await.len(), 2);
    assert!(started.elapsed() < ms(2));
}

#[tokio::test(start_paused = true)]
async fn law_2_a_wait_that_ends_is_empty_and_on_time() {
    let rig = Rig::new(InlineConfig::default());
    let started = Instant::now();
    assert!(rig.wait(&member("one"), 10, secs(3)).await.is_empty());
    assert!(started.elapsed() >= secs(3) && started.elapsed() < ms(3_010));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_read_wakes_by_itself_when_a_delay_or_a_lease_ends() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 2).await;
    rig.requeue(&one, &got[..1], secs(2)).await;
    let started = Instant::now();
    assert_eq!(texts(&rig.wait(&two, 10, secs(60)).await), ["0"]);
    assert_eq!(started.elapsed(), secs(2));
    assert_eq!(texts(&rig.wait(&two, 10, secs(60)).await), ["1"]);
    assert_eq!(started.elapsed(), LEASE);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_learns_of_leases_that_began_later() {
    let rig = Rig::new(InlineConfig::default());
    let started = Instant::now();
    let two = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("two"), 1, secs(600)).await }
    });
    let three = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("three"), 1, secs(600)).await }
    });
    tokio::time::sleep(secs(1)).await;
    rig.publish(&["a"]).await;
    // One of them gets it, and says nothing more; the other gets it when the lease ends.
    let (two, three) = tokio::join!(two, three);
    let mut all = attempts(&two.unwrap());
    all.extend(attempts(&three.unwrap()));
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
    assert_eq!(started.elapsed(), secs(1) + LEASE);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_read_wakes_for_what_is_given_back_and_for_room_in_the_window() {
    let rig = Rig::new(InlineConfig::default().max_unsettled(2));
    rig.count(0..3).await;
    let one = member("one");
    let got = rig.read(&one, 2).await;
    let wait = |rig: &Rig| {
        let rig = rig.clone();
        tokio::spawn(async move { rig.wait(&member("two"), 1, secs(5)).await })
    };
    let waiting = wait(&rig);
    tokio::time::sleep(ms(1)).await;
    rig.nack(&one, &got[1..], Disposition::GiveBack).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["1"]);
    let waiting = wait(&rig);
    tokio::time::sleep(ms(1)).await;
    rig.ack(&one, &got[..1]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn law_11_dropping_a_read_loses_no_message() {
    let rig = Rig::new(InlineConfig::default());
    let one = member("one");
    let mut all = Vec::new();
    for round in 0..200_u64 {
        let request = ReadRequest {
            member: &one,
            max: 1,
            wait: secs(60),
        };
        let mut read = Box::pin(rig.broker.read(request));
        // Polled once: it waits. Then there is a message, and the future is dropped, woken or not.
        assert!(futures_poll(&mut read).await.is_none());
        rig.publish(&[&round.to_string()]).await;
        if round % 2 == 0 {
            drop(read);
            all.extend(rig.wait(&member("two"), 1, secs(60)).await);
        } else {
            all.extend(unpack(&read.await.unwrap()));
        }
    }
    assert_eq!(all.len(), 200);
    assert!(attempts(&all).iter().all(|attempt| *attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn law_11_a_wake_up_that_was_meant_for_a_dropped_read_goes_to_another() {
    let rig = Rig::new(InlineConfig::default());
    let one = member("one");
    let request = ReadRequest {
        member: &one,
        max: 1,
        wait: secs(60),
    };
    let mut first = Box::pin(rig.broker.read(request));
    assert!(futures_poll(&mut first).await.is_none());
    let second = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("two"), 1, secs(60)).await }
    });
    tokio::time::sleep(ms(1)).await;
    rig.publish(&["a"]).await;
    drop(first);
    let started = Instant::now();
    assert_eq!(texts(&second.await.unwrap()), ["a"]);
    assert!(started.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn law_12_close_wakes_blocked_readers_and_publishers() {
    let rig = Rig::new(InlineConfig::default().capacity(1));
    let endpoints = rig.broker.families().endpoints.unwrap();
    let reader = endpoints.reader(&member("one")).await.unwrap();
    let publisher = endpoints.publisher(&stream("s")).await.unwrap();
    rig.publish(&["a"]).await;
    let read = tokio::spawn({
        let rig = rig.clone();
        async move {
            let member = member_of("empty", "one");
            rig.read(&member, 1).await;
            rig.broker
                .read(ReadRequest {
                    member: &member,
                    max: 1,
                    wait: secs(60),
                })
                .await
                .map(|_| ())
        }
    });
    let publish = tokio::spawn(async move {
        let mut batch = vec![Message::text("b")];
        publisher.publish(&mut batch).await.map(|_| ())
    });
    tokio::time::sleep(secs(1)).await;
    assert_eq!(texts(&unpack(&reader.try_read(1).unwrap().unwrap())), ["a"]);
    let started = Instant::now();
    rig.broker.close().await.unwrap();
    assert_eq!(read.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(publish.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(started.elapsed() < ms(50));
}

#[tokio::test(start_paused = true)]
async fn fifty_blocked_readers_are_all_served_and_block_nobody() {
    let rig = Rig::new(InlineConfig::default());
    let readers: Vec<_> = (0..50)
        .map(|number| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.wait(&member(&format!("reader-{number}")), 1, secs(60)).await })
        })
        .collect();
    tokio::time::sleep(ms(10)).await;
    rig.broker.ping().await.unwrap();
    rig.count(0..50).await;
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    let mut numbers: Vec<usize> = all.iter().map(|got| got.text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
