//! Closing: what was accepted goes out, who waits is woken, and every call says so afterwards.

mod support;

use std::time::Duration;

use broker_core::{Error, ErrorKind, Message, Outcome, Retry};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use support::{Step, broker, in_flight, numbered, subscribe};
use tokio::time::Instant;

/// Law 12.
#[tokio::test(start_paused = true)]
async fn closing_sends_what_was_accepted() {
    let (broker, script) = broker();
    let linger = Duration::from_secs(3600);
    let publisher = broker.publisher("s").linger(linger).build().await.unwrap();
    let mut sends: Vec<_> = (0..100)
        .map(|number: usize| Box::pin(publisher.send(Message::text(number.to_string()))))
        .collect();
    for send in &mut sends {
        assert!(send.as_mut().now_or_never().is_none(), "accepted");
    }
    broker.close().await.unwrap();
    for send in sends {
        send.await.unwrap();
    }
    assert_eq!(script.stored(), numbered(0..100));
    let error = publisher.send(Message::text("late")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "publish (script): closed: the broker is closed"
    );
}

/// Law 12, for messages that race with closing.
#[test]
fn a_send_that_races_with_closing_is_answered_and_the_answer_is_true() {
    for round in 0..200_u64 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (broker, script) = broker();
            let publisher = broker
                .publisher("s")
                .linger(Duration::from_secs(60))
                .build()
                .await
                .unwrap();
            let sends: Vec<_> = (0..8)
                .map(|number: usize| {
                    let publisher = publisher.clone();
                    tokio::spawn(async move { publisher.send(Message::text(number.to_string())).await })
                })
                .collect();
            tokio::time::sleep(Duration::from_micros(round)).await;
            let ending = Duration::from_secs(10);
            tokio::time::timeout(ending, broker.close())
                .await
                .unwrap()
                .unwrap();
            let stored = script.stored();
            for (number, send) in sends.into_iter().enumerate() {
                let answer = tokio::time::timeout(ending, send).await.unwrap().unwrap();
                let there = stored.contains(&number.to_string());
                assert_eq!(answer.is_ok(), there, "{answer:?}");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn closing_ends_in_time_while_the_server_does_not_answer_and_tells_the_senders() {
    let (broker, script) = broker();
    let publisher = broker.publisher("s").max_batch(1).build().await.unwrap();
    script.then("publish", (0..99).map(|_| Step::Hang));
    let sends: Vec<_> = (0..3)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.send(Message::text("m")).await })
        })
        .collect();
    script
        .until("the first is on its way", |state| state.count("publish") == 1)
        .await;
    let start = Instant::now();
    broker.close().await.unwrap();
    assert!(
        start.elapsed() <= Duration::from_secs(31),
        "{:?}",
        start.elapsed()
    );
    let errors = join_all(sends)
        .await
        .into_iter()
        .map(|send| send.unwrap().unwrap_err());
    let classes: Vec<_> = errors.map(|error| error.retry_class()).collect();
    assert_eq!(classes[0], Retry::Unknown, "it was on its way");
    assert_ne!(classes[2], Retry::Unknown, "it was not");
}

/// A direct publish that closing cuts short may have been stored.
#[tokio::test(start_paused = true)]
async fn a_publish_that_closing_cuts_short_is_unknown() {
    let (broker, script) = broker();
    script.then("publish", [Step::Hang]);
    let publish = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish_batch("s", vec![Message::text("m")]).await }
    });
    script
        .until("it is on its way", |state| state.count("publish") == 1)
        .await;
    broker.close().await.unwrap();
    let outcomes = publish.await.unwrap().unwrap();
    assert!(
        matches!(outcomes.outcome(0), Some(Outcome::Unknown(error)) if error.kind() == ErrorKind::Closed)
    );
}

/// Laws 3 and 12: an ack that was given goes out before the broker is closed, also one that is on its way.
#[tokio::test(start_paused = true)]
async fn closing_sends_the_acks_and_hands_back_what_was_read_ahead() {
    let (broker, script) = broker();
    script.put(5);
    script.then("ack", [Step::Wait(Duration::from_millis(100))]);
    let mut deliveries = subscribe(&broker, 10).await;
    deliveries.next().await.unwrap().unwrap().ack_later();
    script
        .until("the first ack is on its way", |state| state.count("ack") == 1)
        .await;
    deliveries.next().await.unwrap().unwrap().ack_later();
    drop(deliveries);
    broker.close().await.unwrap();
    let state = script.state();
    assert_eq!(
        (state.acked.clone(), state.given_back.clone()),
        (vec![0, 1], vec![2, 3, 4])
    );
    assert_eq!(state.calls.last().unwrap().operation, "close");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_is_back_before_the_broker_is_closed() {
    let (broker, script) = broker();
    script.put(3);
    script.then("nack", [Step::Wait(Duration::from_millis(100))]);
    let mut deliveries = subscribe(&broker, 10).await;
    drop(deliveries.next().await);
    drop(deliveries);
    broker.close().await.unwrap();
    assert_eq!(script.state().given_back, [1, 2]);
}

/// Law 12.
#[tokio::test(start_paused = true)]
async fn it_ends_when_the_broker_closes_whatever_it_waits_for() {
    // For messages, for room, for the pause after an error, for nothing.
    for case in 0..4 {
        let (broker, script) = broker();
        let mut deliveries = subscribe(&broker, 2).await;
        let mut held = Vec::new();
        match case {
            1 => {
                script.put(3);
                held.push(deliveries.next().await);
                held.push(deliveries.next().await);
            }
            2 => {
                script.fail("read", 1, &Error::new(ErrorKind::Permission, "not yours"));
                assert!(deliveries.next().await.unwrap().is_err());
            }
            3 => {
                script.put(2);
                held.push(deliveries.next().await);
            }
            _ => {}
        }
        let ended = if case == 3 {
            broker.close().await.unwrap();
            deliveries.next().await
        } else {
            let waiting = tokio::spawn(async move { deliveries.next().await });
            tokio::task::yield_now().await;
            let start = Instant::now();
            broker.close().await.unwrap();
            let ended = waiting.await.unwrap();
            assert!(start.elapsed() < Duration::from_secs(2), "case {case}");
            ended
        };
        assert!(ended.is_none(), "case {case}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_closing_it_stays_ended_and_nothing_can_be_settled() {
    let (broker, script) = broker();
    script.put(3);
    let mut deliveries = subscribe(&broker, 10).await;
    let delivery = deliveries.next().await.unwrap().unwrap();
    broker.close().await.unwrap();
    for _ in 0..3 {
        assert!(deliveries.next().await.is_none() && deliveries.next_batch().await.is_none());
    }
    for answer in [delivery.ack().await, delivery.nack().await] {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(deliveries.close().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        broker.read("s", "g", 1).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    drop(delivery);
    assert_eq!(in_flight(&broker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_close_the_broker() {
    let (broker, script) = broker();
    script.put(3);
    let mut deliveries = subscribe(&broker, 10).await;
    let mut handled = 0;
    while let Some(delivery) = deliveries.next().await {
        delivery.unwrap().ack_later();
        handled += 1;
        if handled == 2 {
            let (one, other) = tokio::join!(broker.close(), broker.close());
            assert!(one.is_ok() && other.is_ok());
        }
    }
    assert_eq!(
        (handled, script.acked(), script.count("close")),
        (2, vec![0, 1], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn closing_goes_on_where_it_was_dropped() {
    let (broker, script) = broker();
    script.put(1);
    let mut deliveries = subscribe(&broker, 10).await;
    deliveries.next().await.unwrap().unwrap().ack_later();
    script.then("ack", [Step::Wait(Duration::from_millis(5))]);
    script.then("close", [Step::Hang]);
    for patience in [1, 1000] {
        let patience = Duration::from_millis(patience);
        assert!(tokio::time::timeout(patience, broker.close()).await.is_err());
    }
    broker.close().await.unwrap();
    assert_eq!((script.count("close"), script.acked().len()), (2, 1));
}
