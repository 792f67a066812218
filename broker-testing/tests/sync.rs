//! Where processing is synchronous, publishing returns after the handlers have run, with their errors.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use broker::config::Config;
use broker::engine::Context;
use broker::inline::{InlineConfig, Processing};
use broker::prelude::*;
use broker::testing::TestApp;

type Count = Arc<AtomicU32>;

async fn bill(Json(amount): Json<u32>, State(count): State<Count>) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let call = count.fetch_add(1, Ordering::SeqCst);
    anyhow::ensure!(amount != 13 || call == 1, "the card is not valid for {amount}");
    anyhow::ensure!(amount != 0, "nothing to pay");
    Ok(())
}

async fn place(Json(amount): Json<u32>, context: Context) -> Result<(), broker::Error> {
    context.publish("bills", Message::json(&amount)?).await.map(drop)
}

fn service(count: &Count) -> App {
    App::empty()
        .state(count.clone())
        .retry(RetryPolicy::attempts(2))
        .subscribe(Subscriber::new("bills", "billing").handle(bill))
        .subscribe(
            Subscriber::new("orders", "desk")
                .handle(place)
                .retry(RetryPolicy::attempts(1)),
        )
}

fn sync() -> InlineConfig {
    InlineConfig::default().processing(Processing::Sync)
}

fn amount(of: u32) -> Message {
    Message::json(&of).unwrap()
}

#[tokio::test(start_paused = true)]
async fn publishing_returns_after_the_handlers_and_their_retries() {
    let count = Count::default();
    let app = TestApp::of(service(&count)).inline(sync()).start().await;
    let broker = app.broker();
    broker.publish("bills", amount(7)).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // It fails once, and then goes well: that is no error.
    count.store(0, Ordering::SeqCst);
    broker.publish("bills", amount(13)).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_group_gives_up_is_the_error_of_the_publish() {
    let count = Count::default();
    let app = TestApp::of(service(&count)).inline(sync()).start().await;
    let error = app.broker().publish("bills", amount(0)).await.unwrap_err();
    let line = error.to_string();
    assert!(
        line.contains("stored") && line.contains("group `billing` gave it up: nothing to pay"),
        "{line}"
    );
    assert!(!error.is_retryable());
    let outcomes = app
        .broker()
        .publish_batch("bills", vec![amount(1), amount(0), amount(2)])
        .await
        .unwrap();
    let stored: Vec<_> = outcomes.into_outcomes().iter().map(Outcome::is_stored).collect();
    assert_eq!(stored, [true, false, true]);
    // Through a handler that publishes, and by a publisher.
    let orders = app.broker().publisher("orders").build().await.unwrap();
    orders.send(amount(5)).await.unwrap();
    let line = orders.send(amount(0)).await.unwrap_err().to_string();
    assert!(
        line.contains("group `desk`") && line.contains("nothing to pay"),
        "{line}"
    );
    assert_eq!(app.dead_letters("bills", "billing").len(), 3);
    app.dead_letters("orders", "desk").assert_one();
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_by_hand_is_not_waited_for() {
    let config = Config::from_text("[brokers.default]\nprovider = 'inline'\nprocessing = 'sync'\n").unwrap();
    let brokers = Brokers::open(&config).unwrap();
    let broker = brokers.default_broker();
    assert!(broker.read("bills", "billing", 1).await.unwrap().is_empty());
    broker.publish("bills", amount(1)).await.unwrap();
    let mut batch = broker.read("bills", "billing", 1).await.unwrap();
    assert_eq!(batch.len(), 1);
    batch.ack().await.unwrap();
    // A subscription that ended is none.
    let subscription = broker.subscribe("bills", "billing").start().await.unwrap();
    subscription.close().await.unwrap();
    broker.publish("bills", amount(2)).await.unwrap();
    let wrong = Config::from_text(
        "[brokers.default]\nprovider = 'inline'\nprocessing = 'sync'\ncapabilities = 'SIMPLE_QUEUING'\n",
    );
    let line = Brokers::open(&wrong.unwrap()).unwrap_err().to_string();
    assert!(
        line.contains("processing") && line.contains("MESSAGE_ACKNOWLEDGEMENT"),
        "{line}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_itself_is_told() {
    async fn again(Json(amount): Json<u32>, context: Context) -> Result<(), broker::Error> {
        if amount > 0 {
            context.publish("circle", Message::json(&(amount - 1))?).await?;
        }
        Ok(())
    }
    let circle = Subscriber::new("circle", "walkers")
        .handle(again)
        .retry(RetryPolicy::attempts(1));
    let app = TestApp::of(App::empty().subscribe(circle))
        .inline(sync())
        .start()
        .await;
    app.broker().publish("circle", amount(0)).await.unwrap();
    let line = app
        .broker()
        .publish("circle", amount(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(line.contains("has not settled it in time"), "{line}");
    app.settled().await;
}
