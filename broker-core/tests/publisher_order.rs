//! Several batches on their way at once: what is sent again keeps its place.

mod support;

use std::time::Duration;

use broker_core::{Message, Retry};
use support::{CLAIMS, Script, Step, broker_with, lost, numbered, send_all, settings};
use tokio::time::Instant;

/// Laws 10 and 12: batches that are sent again do not overtake each other.
#[tokio::test(start_paused = true)]
async fn several_batches_on_their_way_keep_their_order_when_they_are_sent_again() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(4), settings());
    let publisher = broker.publisher("s").max_batch(10).build().await.unwrap();
    for (first, retry) in [(1, 0), (0, 5)] {
        // All four on their way fail, those behind sooner than those before; then one fails once more.
        script.then(
            "publish",
            (0..4).map(|place| Step::FailLate(Duration::from_millis(40 - 10 * place), lost(Retry::Safe))),
        );
        script.then(
            "publish",
            (0..first).map(|_| Step::FailLate(Duration::from_millis(retry), lost(Retry::Safe))),
        );
        let from = script.stored().len();
        let answers = send_all(&publisher, from..from + 100).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(script.stored(), numbered(0..from + 100));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_past_a_batch_that_waits_to_be_sent_again() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(4), settings());
    let publisher = broker.publisher("s").build().await.unwrap();
    script.fail("publish", 1, &lost(Retry::Safe));
    let first = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.send(Message::text("0")).await }
    });
    script
        .until("the first has failed", |state| state.count("publish") == 1)
        .await;
    publisher.send(Message::text("1")).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(script.stored(), ["0", "1"]);
}

/// Law 10: whenever a batch fails, the next one is not on its way past it, not even by having been made ready before.
#[tokio::test(start_paused = true)]
async fn a_batch_that_was_made_ready_as_the_one_before_it_failed_waits_too() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(4), settings());
    let publisher = broker.publisher("s").max_batch(1).build().await.unwrap();
    // The second poll is the one that puts the next batch on its way.
    script.then("publish", [Step::FailAtPoll(2, lost(Retry::Safe))]);
    let answers = send_all(&publisher, 0..5).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(script.stored(), numbered(0..5));
}

#[tokio::test(start_paused = true)]
async fn several_batches_are_on_their_way_at_once_where_the_adapter_can() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(4), settings());
    let publisher = broker.publisher("s").max_batch(10).build().await.unwrap();
    script.then("publish", (0..10).map(|_| Step::Wait(Duration::from_millis(10))));
    let start = Instant::now();
    send_all(&publisher, 0..100).await;
    assert_eq!(script.stored(), numbered(0..100));
    assert_eq!(start.elapsed(), Duration::from_millis(30), "four, four and two");
}
