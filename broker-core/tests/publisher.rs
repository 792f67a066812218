//! The publisher's queue: bounded, in order, an outcome for each message whatever happens.

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Message, Outcome, Retry};
use futures_util::future::{FutureExt as _, join_all};
use support::{Step, broker, lost, numbered, send_all};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn what_many_tasks_send_travels_together_in_order() {
    let (broker, script) = broker();
    let publisher = broker.publisher("s").max_batch(40).build().await.unwrap();
    let ids = send_all(&publisher, 0..100).await;
    for (number, id) in ids.into_iter().enumerate() {
        assert_eq!(
            id.unwrap(),
            format!("0:{number}"),
            "each sender has its own answer"
        );
    }
    assert_eq!(script.stored(), numbered(0..100));
    let sizes = script.sizes("publish");
    assert!(
        sizes.len() <= 4 && sizes.iter().all(|size| *size <= 40),
        "{sizes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_senders_wait_and_holds_no_more_than_it_may() {
    for bytes in [false, true] {
        let (broker, script) = broker();
        let gate = script.gate("publish");
        let builder = broker.publisher("s");
        let builder = if bytes {
            builder.buffer_bytes(10)
        } else {
            builder.buffer(10)
        };
        let publisher = builder.build().await.unwrap();
        let sending = tokio::spawn({
            let publisher = publisher.clone();
            async move { join_all((0..50).map(|_| publisher.send(Message::text("x")))).await }
        });
        script
            .until("a batch on its way", |state| state.count("publish") == 1)
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(
            publisher.send(Message::text("x")).now_or_never().is_none(),
            "it waits"
        );
        gate.add_permits(1);
        assert!(sending.await.unwrap().iter().all(Result::is_ok));
        let sizes = script.sizes("publish");
        assert!(sizes.iter().all(|size| *size <= 10), "{sizes:?}");
        assert_eq!(
            sizes.iter().sum::<usize>(),
            50,
            "what only waited for room was not sent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_buffer_goes_alone() {
    let (broker, script) = broker();
    let publisher = broker.publisher("s").buffer_bytes(10).build().await.unwrap();
    let large = || publisher.send(Message::new(vec![0_u8; 1000]));
    let (a, b) = tokio::join!(large(), large());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(script.sizes("publish"), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn messages_linger_for_company_until_the_batch_is_full_or_somebody_flushes() {
    let (broker, script) = broker();
    let linger = Duration::from_millis(20);
    let publisher = broker
        .publisher("s")
        .linger(linger)
        .max_batch(3)
        .build()
        .await
        .unwrap();

    let start = Instant::now();
    let first = publisher.send(Message::text("0"));
    let second = async {
        tokio::time::sleep(Duration::from_millis(15)).await;
        publisher.send(Message::text("1")).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((script.sizes("publish"), start.elapsed()), (vec![2], linger));

    let start = Instant::now();
    send_all(&publisher, 2..5).await;
    assert_eq!(
        (script.sizes("publish"), start.elapsed()),
        (vec![2, 3], Duration::ZERO),
        "full"
    );

    let start = Instant::now();
    let (sent, ()) = tokio::join!(publisher.send(Message::text("5")), async {
        tokio::task::yield_now().await;
        publisher.flush().await.unwrap();
    });
    assert!(
        sent.is_ok() && start.elapsed() < Duration::from_millis(2),
        "flushed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_sent_before_it_and_not_for_what_follows() {
    let (broker, script) = broker();
    let publisher = broker.publisher("s").build().await.unwrap();
    let (first, second) = (script.gate("publish"), script.gate("publish"));
    let mut before = Box::pin(publisher.send(Message::text("before")));
    assert!(before.as_mut().now_or_never().is_none());
    let mut flush = Box::pin(publisher.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    script
        .until("the first is on its way", |state| state.count("publish") == 1)
        .await;
    let after = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.send(Message::text("after")).await }
    });
    first.add_permits(1);
    flush.await.unwrap();
    assert!(before.await.is_ok());
    script
        .until("the second is on its way", |state| state.count("publish") == 2)
        .await;
    assert!(!after.is_finished());
    second.add_permits(1);
    after.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_what_certainly_failed_is_sent_again_and_each_sender_has_its_own_outcome() {
    let (broker, script) = broker();
    let refused = Error::new(ErrorKind::TooLarge, "the server takes less");
    script.then(
        "publish",
        [
            Step::FailSome(vec![1, 3], lost(Retry::Safe)),
            Step::FailSome(vec![1], lost(Retry::Safe)),
            Step::FailSome(vec![0], refused),
        ],
    );
    let outcomes = broker
        .publish_batch("s", (0..5).map(|n| Message::text(n.to_string())).collect())
        .await
        .unwrap();
    assert_eq!(script.sizes("publish"), [5, 2, 1]);
    assert_eq!(script.stored(), ["0", "2", "4", "1"]);
    let shown: Vec<_> = (0..5).map(|place| outcomes.outcome(place).unwrap()).collect();
    assert!(matches!(&shown[3], Outcome::NotSent(error) if error.kind() == ErrorKind::TooLarge));
    for (place, offset) in [(0, 0), (1, 3), (2, 1), (4, 2)] {
        assert_eq!(
            shown[place].clone().into_result().unwrap().to_string(),
            format!("0:{offset}")
        );
    }

    // Those that nobody knows about are not sent again.
    script.then("publish", [Step::FailSome(vec![0], lost(Retry::Unknown))]);
    let publisher = broker.publisher("s").build().await.unwrap();
    let answers = send_all(&publisher, 5..8).await;
    assert_eq!(answers[0].as_ref().unwrap_err().retry_class(), Retry::Unknown);
    assert!(answers[1].is_ok() && answers[2].is_ok());
    assert_eq!(script.count("publish"), 4);
    let counts = broker.health_stats().await.counts;
    assert_eq!((counts.published, counts.publish_failed), (6, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_could_not_be_published_keeps_no_other_from_it() {
    let (broker, script) = broker();
    let oversize = Message::new(vec![0; 2 * 1024 * 1024]);
    let batch = vec![Message::text("a"), oversize.clone(), Message::text("b")];
    let outcomes = broker.publish_batch("s", batch).await.unwrap();
    assert!(outcomes.outcome(0).unwrap().is_stored() && outcomes.outcome(2).unwrap().is_stored());
    assert!(
        matches!(outcomes.outcome(1), Some(Outcome::NotSent(error)) if error.kind() == ErrorKind::TooLarge)
    );
    assert_eq!(script.stored(), ["a", "b"]);

    let publisher = broker.publisher("s").build().await.unwrap();
    let answers = tokio::join!(publisher.send(oversize), publisher.send(Message::text("c")));
    assert!(answers.0.is_err() && answers.1.is_ok());
    let counts = broker.health_stats().await.counts;
    assert_eq!((counts.published, counts.publish_failed), (3, 2));
}

/// Law 11.
#[tokio::test(start_paused = true)]
async fn dropped_sends_neither_lose_nor_mix_up_the_others_answers() {
    let (broker, script) = broker();
    let publisher = broker
        .publisher("s")
        .max_batch(7)
        .buffer(20)
        .build()
        .await
        .unwrap();
    script.then("publish", (0..400).map(|_| Step::Wait(Duration::from_millis(3))));
    let mut random = fastrand_lite(7);
    let sends = (0..1000_usize).map(|number| {
        let publisher = publisher.clone();
        let patience = Duration::from_millis(random() % 200);
        let dropped = number % 3 == 0;
        tokio::spawn(async move {
            let send = publisher.send(Message::text(number.to_string()));
            if dropped {
                tokio::time::timeout(patience, send)
                    .await
                    .ok()
                    .map(Result::unwrap)
            } else {
                Some(send.await.unwrap())
            }
        })
    });
    let answers = join_all(sends).await;
    publisher.flush().await.unwrap();
    let stored = script.stored();
    for (number, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Some(id) => {
                let offset: usize = id.to_string()[2..].parse().unwrap();
                assert_eq!(
                    stored[offset],
                    number.to_string(),
                    "the id is that of the message"
                );
            }
            None => assert_eq!(number % 3, 0),
        }
    }
    let mut all = stored.clone();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), stored.len(), "nothing was stored twice");
}

#[test]
fn senders_are_answered_when_the_runtime_that_sent_for_them_ends() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let (broker, script) = broker();
    script.then("publish", [Step::Hang]);
    let publisher = first
        .block_on(broker.publisher("s").max_batch(1).build())
        .unwrap();
    let begun = first.spawn({
        let publisher = publisher.clone();
        async move { publisher.send(Message::text("begun")).await }
    });
    first.block_on(script.until("it is on its way", |state| state.count("publish") == 1));
    second.block_on(async {
        let mut sends: Vec<_> = (0..3)
            .map(|_| Box::pin(publisher.send(Message::text("waiting"))))
            .collect();
        for send in &mut sends {
            assert!(send.as_mut().now_or_never().is_none());
        }
        first.shutdown_background();
        drop(begun);
        for send in sends {
            let answer = tokio::time::timeout(Duration::from_secs(10), send).await;
            let error = answer.unwrap().unwrap_err();
            assert_ne!(error.retry_class(), Retry::Unknown, "it was not on its way");
        }
        publisher.send(Message::text("later")).await.unwrap();
        publisher.flush().await.unwrap();
    });
    assert_eq!(script.stored(), ["later"]);
}

#[tokio::test(start_paused = true)]
async fn senders_are_answered_when_the_adapter_panics() {
    let (broker, script) = broker();
    script.then("publish", [Step::Panic]);
    let publisher = broker.publisher("s").max_batch(1).build().await.unwrap();
    let answers = send_all(&publisher, 0..3).await;
    assert!(answers.iter().any(Result::is_err));
    publisher.send(Message::text("later")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publisher_sends_what_it_accepted_and_leaves_nothing_behind() {
    let (broker, script) = broker();
    let publisher = broker.publisher("s").build().await.unwrap();
    let send = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.send(Message::text("m")).await }
    });
    tokio::task::yield_now().await;
    send.abort();
    drop(publisher);
    script
        .until("it is stored", |state| state.stored.len() == 1)
        .await;
    let weak = Arc::downgrade(&script.state);
    drop((broker, script));
    tokio::task::yield_now().await;
    assert_eq!(weak.strong_count(), 0, "nobody holds the adapter any more");
}

/// Numbers that look random and are the same each time.
fn fastrand_lite(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}
