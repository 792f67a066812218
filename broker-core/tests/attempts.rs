//! The one loop: what is tried again, for how long, and when the server is left alone.

mod support;

use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::config::BrokerConfig;
use broker_core::{Capabilities, Error, ErrorKind, Message, Outcome, Retry, Settled};
use support::{CLAIMS, Script, Step, broker, broker_with, lost, settings};
use tokio::time::Instant;

async fn publish(broker: &Broker) -> Result<broker_core::MessageId, Error> {
    broker.publish("s", Message::text("m")).await
}

async fn read(broker: &Broker) -> Result<usize, Error> {
    broker.read("s", "g", 10).await.map(|batch| batch.len())
}

#[tokio::test(start_paused = true)]
async fn what_certainly_did_nothing_is_tried_again_with_growing_waits() {
    let (broker, script) = broker();
    script.fail("publish", 3, &lost(Retry::Safe));
    publish(&broker).await.unwrap();
    let times: Vec<_> = script.calls("publish").iter().map(|call| call.at).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([10, 20, 40]) {
        let least = Duration::from_millis(least);
        assert!(
            *wait >= least && *wait <= least * 2 + Duration::from_millis(2),
            "{waits:?}"
        );
    }
    assert_eq!(waits.len(), 3);
    assert_eq!(script.stored(), ["m"]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_error_says_that_they_were_used_up() {
    let (broker, script) = broker();
    script.fail("publish", 9, &lost(Retry::Safe));
    let error = publish(&broker).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Connection, Retry::Exhausted)
    );
    assert_eq!(script.count("publish"), 4, "one attempt and three retries");
    let counts = broker.health_stats().await.counts;
    assert_eq!(
        (counts.published, counts.publish_failed, counts.failed_calls),
        (0, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_tried_once() {
    let (broker, script) = broker();
    let refused = Error::new(ErrorKind::Permission, "not yours");
    for operation in ["publish", "read"] {
        script.fail(operation, 1, &refused);
    }
    assert_eq!(publish(&broker).await.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(read(&broker).await.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!((script.count("publish"), script.count("read")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_tried_again_only_where_twice_does_no_harm() {
    let (broker, script) = broker();
    script.put(1);
    for operation in ["publish", "read", "ack"] {
        script.fail(operation, 1, &lost(Retry::Unknown));
    }
    assert_eq!(publish(&broker).await.unwrap_err().retry_class(), Retry::Unknown);
    assert_eq!(script.count("publish"), 1);

    let mut batch = broker.read("s", "g", 10).await.unwrap();
    assert_eq!(script.count("read"), 2);
    assert_eq!(batch.ack().await.unwrap().get(0), Some(Settled::Acked));
    assert_eq!(script.count("ack"), 2);
}

#[tokio::test(start_paused = true)]
async fn who_takes_duplicates_over_losses_has_unknown_publishes_sent_again() {
    let config = BrokerConfig {
        retry_unknown: true,
        ..settings()
    };
    let (broker, script) = broker_with(Script::new(CLAIMS), config);
    script.then("publish", [Step::FailAfter(lost(Retry::Unknown))]);
    publish(&broker).await.unwrap();
    assert_eq!(script.stored(), ["m", "m"]);

    // Law 1: once nobody knows, a later attempt that certainly failed does not make it certain.
    script.then(
        "publish",
        [
            Step::FailAfter(lost(Retry::Unknown)),
            Step::Fail(Error::new(ErrorKind::Permission, "not yours any more")),
        ],
    );
    let outcomes = broker.publish_batch("s", vec![Message::text("n")]).await.unwrap();
    assert!(
        matches!(outcomes.outcome(0), Some(Outcome::Unknown(_))),
        "{outcomes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_leaves_a_publish_unknown_and_a_read_timed_out() {
    let (broker, script) = broker();
    script.then("publish", [Step::Hang]).then("read", [Step::Hang]);
    let start = Instant::now();
    let outcomes = broker.publish_batch("s", vec![Message::text("m")]).await.unwrap();
    let Some(Outcome::Unknown(error)) = outcomes.outcome(0) else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        error.to_string(),
        "publish (script): timeout: no answer within 30s (operation_timeout)"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(read(&broker).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_messages_comes_on_top_of_the_time_a_call_may_take() {
    let config = BrokerConfig {
        operation_timeout: Duration::from_secs(1),
        ..settings()
    };
    let (broker, script) = broker_with(Script::new(CLAIMS), config);
    let start = Instant::now();
    let wait = Duration::from_secs(60);
    assert!(broker.read_wait("s", "g", 1, wait).await.unwrap().is_empty());
    assert_eq!(start.elapsed(), wait);

    // One that is tried again late waits for what is left, not anew.
    script.then(
        "read",
        [Step::FailLate(Duration::from_secs(59), lost(Retry::Safe))],
    );
    let start = Instant::now();
    let _ = broker.read_wait("s", "g", 1, wait).await.unwrap();
    assert_eq!(start.elapsed(), wait);
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_time_a_call_may_take() {
    let config = BrokerConfig {
        operation_timeout: Duration::from_millis(500),
        operation_retries: 1000,
        circuit_breaker_failures: 0,
        ..settings()
    };
    let (broker, script) = broker_with(Script::new(CLAIMS), config);
    script.fail("publish", 1000, &lost(Retry::Safe));
    let start = Instant::now();
    publish(&broker).await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn connects_once_before_the_first_call_however_many_come_at_once() {
    let (broker, script) = broker();
    assert_eq!(script.state().calls.len(), 0, "opening does no I/O");
    script.then("connect", [Step::Wait(Duration::from_millis(50))]);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { publish(&broker).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(script.count("connect"), 1);
    assert_eq!(script.state().calls[0].operation, "connect");
    read(&broker).await.unwrap();
    assert_eq!(script.count("connect"), 1);
}

#[tokio::test(start_paused = true)]
async fn connects_again_after_a_connection_error_and_only_then() {
    let (broker, script) = broker();
    publish(&broker).await.unwrap();
    script.fail("publish", 1, &lost(Retry::Safe));
    publish(&broker).await.unwrap();
    assert_eq!(script.count("connect"), 2);
    script.fail("publish", 1, &Error::new(ErrorKind::Throttled, "later"));
    publish(&broker).await.unwrap();
    assert_eq!(script.count("connect"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_told_within_the_time_connecting_may_take() {
    let (broker, script) = broker();
    script.then("connect", (0..9).map(|_| Step::Hang));
    let start = Instant::now();
    let error = broker.ensure_connection().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "connect (script): timeout: no connection within 5s (connect_timeout)"
    );
    assert!(start.elapsed() <= Duration::from_secs(6), "{:?}", start.elapsed());

    // Nothing was published before there was a connection, whatever became of that.
    script.heal();
    script.fail("connect", 9, &lost(Retry::Unknown));
    let outcomes = broker.publish_batch("s", vec![Message::text("m")]).await.unwrap();
    assert!(
        matches!(outcomes.outcome(0), Some(Outcome::NotSent(_))),
        "{outcomes:?}"
    );
    assert_eq!(script.count("publish"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_circuit_opens_probes_and_closes_for_every_way_to_publish() {
    let config = BrokerConfig {
        operation_retries: 0,
        circuit_breaker_failures: 3,
        ..settings()
    };
    let (broker, script) = broker_with(Script::new(CLAIMS), config);
    let publisher = broker.publisher("s").build().await.unwrap();
    for round in 0..2 {
        script.fail("publish", 3, &lost(Retry::Safe));
        for _ in 0..3 {
            publish(&broker).await.unwrap_err();
        }
        let before = script.count("publish");
        let start = Instant::now();
        let error = publish(&broker).await.unwrap_err();
        assert_eq!(
            (error.kind(), start.elapsed()),
            (ErrorKind::CircuitOpen, Duration::ZERO)
        );
        assert_eq!(read(&broker).await.unwrap_err().kind(), ErrorKind::CircuitOpen);
        assert_eq!(script.count("publish"), before, "an open circuit asks nobody");

        tokio::time::advance(Duration::from_secs(5)).await;
        script.fail("publish", 1, &lost(Retry::Safe));
        assert_eq!(
            publish(&broker).await.unwrap_err().kind(),
            ErrorKind::Connection,
            "the probe"
        );
        assert_eq!(publish(&broker).await.unwrap_err().kind(), ErrorKind::CircuitOpen);

        tokio::time::advance(Duration::from_secs(5)).await;
        if round == 0 {
            publish(&broker).await.unwrap();
        } else {
            publisher.send(Message::text("m")).await.unwrap();
        }
        publish(&broker).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_claimed_is_refused_without_asking_the_adapter() {
    let (broker, script) = broker_with(
        Script::new(Capabilities::BASIC_PUBSUB | Capabilities::CONSUMER_GROUPS),
        settings(),
    );
    let wait = Duration::from_secs(1);
    let receipt = broker_core::Receipt::default();
    let nack = broker_core::broker::NackOptions::new();
    let refusals = [
        (
            "BLOCKING_READ",
            broker.read_wait("s", "g", 1, wait).await.map(|_| ()),
        ),
        (
            "MESSAGE_ACKNOWLEDGEMENT",
            broker.ack("s", "g", receipt).await.map(|_| ()),
        ),
        (
            "MESSAGE_REJECTION",
            broker.nack("s", "g", receipt, nack).await.map(|_| ()),
        ),
        ("DEAD_LETTER_QUEUE", broker.dead_letters("s", "g").map(|_| ())),
        (
            "DELAYED_DELIVERY",
            broker
                .publish("s", Message::text("m").delay(wait))
                .await
                .map(|_| ()),
        ),
        (
            "REPLAY",
            broker.seek("s", "g", broker_core::StartPosition::Earliest).await,
        ),
        (
            "RETENTION",
            broker
                .trim("s", broker_core::base::TrimTo::Length(1), false)
                .await
                .map(|_| ()),
        ),
        (
            "STREAM_PARTITIONING",
            broker.partition_count("s").await.map(|_| ()),
        ),
        (
            "PATTERN_SUBSCRIPTION",
            broker.listen("s*").start().await.map(|_| ()),
        ),
        (
            "MESSAGE_ORDERING",
            broker.subscribe("s", "g").sequential().start().await.map(|_| ()),
        ),
    ];
    for (flag, answer) in refusals {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{flag}");
        assert_eq!(error.capability().and_then(Capabilities::name), Some(flag));
        assert!(error.to_string().contains("(script): unsupported: "), "{error}");
    }
    assert_eq!(script.state().calls.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_answers_for_too_few_leaves_the_rest_unknown() {
    let (broker, script) = broker();
    script.then("publish", [Step::Forget]);
    let outcomes = broker
        .publish_batch("s", vec![Message::text("a"), Message::text("b")])
        .await
        .unwrap();
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.outcome(0).unwrap().is_stored());
    assert!(matches!(outcomes.outcome(1), Some(Outcome::Unknown(_))));
}

#[test]
fn outside_of_a_runtime_a_call_is_refused_and_does_not_panic() {
    let (broker, _) = broker();
    let error = futures_util::future::FutureExt::now_or_never(publish(&broker))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "publish (script): unexpected: no tokio runtime is running here; call this from within one"
    );
}
