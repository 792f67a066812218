//! An application is tested as it is, in no time.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use broker::engine::{Context, Outgoing};
use broker::prelude::*;
use broker::testing::{HandlingEnd, RecordingBroker, TestApp};

/// What the application sends its letters with.
#[derive(Clone)]
struct Mailer {
    pause: Duration,
}

#[subscriber(stream = "user-events", group = "welcome", message = "user.registered")]
async fn welcome(Json(address): Json<String>, State(mailer): State<Mailer>) -> anyhow::Result<Outgoing> {
    tokio::time::sleep(mailer.pause).await;
    anyhow::ensure!(!address.ends_with("invalid"), "{address} bounced");
    Ok(Outgoing::new(
        "letters",
        Message::json(&address)?.kind("letter.sent"),
    )?)
}

#[subscriber(stream = "letters", group = "archive")]
async fn archive(Json(_): Json<String>, context: Context) -> Result<(), broker::Error> {
    let reminder = Message::text("write again").delay(Duration::from_secs(86_400));
    context.publish("reminders", reminder).await.map(drop)
}

#[subscriber(stream = "reminders", broker = "default")]
async fn remind() {}

fn service() -> App {
    broker::app()
        .state(Mailer {
            pause: Duration::from_secs(3),
        })
        .retry(RetryPolicy::attempts(5))
}

fn registered(address: &str) -> Message {
    Message::json(address).unwrap().kind("user.registered")
}

#[tokio::test(start_paused = true)]
async fn a_bouncing_address_ends_in_the_dead_letters() {
    let began = std::time::Instant::now();
    let app = TestApp::of(service()).start().await;
    app.publish("user-events", registered("nobody@invalid")).await;
    app.settled().await;
    assert_eq!(app.handled("welcome").attempts(), 5);
    assert_eq!(app.handled("welcome").errors(), ["nobody@invalid bounced"; 5]);
    app.dead_letters("user-events", "welcome")
        .assert_one()
        .reason_contains("bounced")
        .after_attempts(5);
    app.published("letters").assert_none();
    assert_eq!(app.stop().await.of_group("welcome").dead, 1);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "the pauses take no time"
    );
}

#[tokio::test(start_paused = true)]
async fn what_handlers_publish_is_recorded_and_settled_too_however_late_it_is_due() {
    let app = TestApp::of(service()).start().await;
    app.publish("user-events", registered("ada@example.org")).await;
    app.publish("user-events", Message::text("of another kind")).await;
    app.settled().await;
    app.handled("welcome").assert_done(1);
    assert_eq!(app.handled("welcome").json::<String>(), ["ada@example.org"]);
    assert_eq!(app.handled("welcome")[0].took, Duration::from_secs(3));
    let letter = app.published("letters");
    assert_eq!(
        letter.of_kind("letter.sent").json::<String>(),
        ["ada@example.org"]
    );
    assert!(
        letter
            .assert_one()
            .message
            .headers()
            .get("causation-id")
            .is_some()
    );
    // A day later.
    assert_eq!(app.handled("remind")[0].end, Some(HandlingEnd::Done));
    app.dead_letters("user-events", "welcome").assert_none();
    let streams: Vec<_> = app
        .all_published()
        .into_iter()
        .map(|one| one.stream.to_string())
        .collect();
    assert_eq!(streams, ["user-events", "user-events", "letters", "reminders"]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_on_brokers_that_take_no_refusals() {
    for weaker in [Capabilities::SIMPLE_QUEUING, Capabilities::BASIC_PUBSUB] {
        let service = App::empty()
            .state(Mailer {
                pause: Duration::from_secs(3),
            })
            .retry(RetryPolicy::attempts(5))
            .subscribe(Subscriber::new("user-events", "welcome").on("user.registered", welcome));
        let app = TestApp::of(service).capabilities(weaker).start().await;
        app.publish("user-events", registered("nobody@invalid")).await;
        app.publish("user-events", registered("ada@example.org")).await;
        app.settled().await;
        let welcome = app.handled("welcome");
        assert_eq!(welcome.attempts(), 6, "{weaker}: {welcome:?}");
        assert_eq!(app.published("user-events.welcome.dead").len(), 1);
        app.published("letters").assert_one();
        app.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_settled_is_told() {
    async fn stuck() {
        std::future::pending::<()>().await;
    }
    let service = App::empty()
        .drain_timeout(Duration::from_secs(1))
        .subscribe(Subscriber::new("orders", "billing").broker("other").handle(stuck));
    let app = TestApp::of(service)
        .patience(Duration::from_secs(60))
        .start()
        .await;
    let published = app
        .brokers()
        .get("other")
        .unwrap()
        .publish("orders", Message::text("one"));
    published.await.unwrap();
    let waited = tokio::spawn(async move {
        app.settled().await;
    });
    let panic = waited.await.unwrap_err().into_panic();
    let line = panic.downcast_ref::<String>().unwrap();
    assert!(
        line.contains("1 handlers are running") && line.contains("orders/billing"),
        "{line}"
    );
}

#[tokio::test]
async fn code_that_publishes_is_tested_with_a_broker_that_records() {
    let broker = RecordingBroker::new();
    let publisher = broker.publisher("orders").build().await.unwrap();
    publisher.send(Message::text("one").key("a")).await.unwrap();
    broker
        .publish("orders", Message::text("two").key("b"))
        .await
        .unwrap();
    let batch = vec![Message::text("three"), Message::text("x".repeat(2_000_000))];
    assert_eq!(broker.publish_batch("orders", batch).await.unwrap().stored(), 1);
    broker.publish("other", Message::text("four")).await.unwrap();
    let payloads: Vec<_> = broker
        .published("orders")
        .iter()
        .map(|one| one.message.payload().clone())
        .collect();
    assert_eq!(
        payloads,
        ["one", "two", "three"],
        "what was refused is not recorded"
    );
    assert_eq!(
        broker
            .published("orders")
            .with_key("b")
            .assert_one()
            .id
            .to_string(),
        "0:1"
    );
    assert_eq!(broker.all_published().len(), 4);
    for delivery in broker.read("orders", "billing", 10).await.unwrap() {
        delivery.ack().await.unwrap();
    }
    broker.forget();
    broker.published("orders").assert_none();
}
