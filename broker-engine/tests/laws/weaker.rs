//! On a weaker broker the engine adds what that lacks.

use std::time::Duration;

use broker::engine::AckPolicy;
use broker::prelude::*;

use crate::support::{Seen, publish_numbers, until, weak};

#[tokio::test(start_paused = true)]
async fn without_refusals_it_is_tried_again_within_the_process_and_published_as_a_dead_letter() {
    let brokers = weak(Capabilities::SIMPLE_QUEUING | Capabilities::MESSAGE_ORDERING);
    let seen = Seen::default();
    let told = seen.clone();
    let handle = move |Json(number): Json<u64>| {
        told.push(number);
        async move { if number == 1 { Err("one is bad") } else { Ok(()) } }
    };
    let policy = RetryPolicy::attempts(3).delay(Duration::from_secs(1));
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new("numbers", "adder").handle(handle).retry(policy))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 0..4, 0).await;
    until("all are settled", || {
        engine.receipt().of_group("adder").handled == 3
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("adder");
    assert_eq!((tally.started, tally.retried, tally.dead), (6, 2, 1));
    assert_eq!(
        seen.all(),
        [0, 1, 1, 1, 2, 3],
        "nothing overtakes in the one lane"
    );
    let letters = brokers
        .default_broker()
        .receive_many("numbers.adder.dead", "looking", 2, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(letters.len(), 1);
    let header = |name| letters[0].headers().get_str(name).unwrap().unwrap().to_owned();
    assert_eq!(
        (header("dead-letter-reason"), header("dead-letter-stream")),
        ("one is bad".to_owned(), "numbers".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn without_groups_every_subscriber_sees_every_message() {
    let brokers = weak(Capabilities::BASIC_PUBSUB);
    let seen = Seen::default();
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let engine = Engine::builder(brokers.clone())
        .state(Seen::<u64>::clone(&seen))
        .subscribe(Subscriber::new("numbers", "one").handle(handle))
        .subscribe(Subscriber::new("numbers", "other").handle(handle))
        .start()
        .await
        .unwrap();
    for number in 0..5 {
        brokers
            .publish("numbers", Message::json(&number).unwrap())
            .await
            .unwrap();
    }
    until("both saw all", || seen.len() == 10).await;
    engine.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn acked_first_a_failing_message_is_lost_and_else_it_comes_again() {
    for (policy, calls) in [
        (AckPolicy::First, 1),
        (AckPolicy::OnSuccess, 3),
        (AckPolicy::Each, 3),
    ] {
        let brokers = crate::support::inline();
        let seen = Seen::default();
        let told = seen.clone();
        let handle = move || {
            told.push(());
            async { Err::<(), _>("no") }
        };
        let retry = RetryPolicy::attempts(3).delay(Duration::from_millis(1));
        let engine = Engine::builder(brokers.clone())
            .subscribe(
                Subscriber::new("jobs", "worker")
                    .handle(handle)
                    .retry(retry)
                    .ack(policy),
            )
            .keep_brokers_open()
            .start()
            .await
            .unwrap();
        brokers.publish("jobs", Message::text("x")).await.unwrap();
        until("it is given up", || engine.receipt().of_group("worker").dead == 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        engine.stop().await.unwrap();
        assert_eq!(seen.len(), calls, "{policy:?}");
        let groups = brokers.default_broker().groups("jobs").await.unwrap();
        assert_eq!((groups[0].pending, groups[0].lag), (0, 0), "{policy:?}");
    }
}
