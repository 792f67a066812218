//! Settling: the policy behind a nack, deliveries that are worn out, and counts that are true.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::time::Duration;

use broker_core::base::Disposition;
use broker_core::broker::NackOptions;
use broker_core::config::BrokerConfig;
use broker_core::{Capabilities, Error, ErrorKind, Failure, Message, Receipt, Settled};
use support::{CLAIMS, Script, Step, broker, broker_with, in_flight, settings};

fn jittery() -> BrokerConfig {
    BrokerConfig {
        jitter: true,
        max_retries: 5,
        max_delay: Duration::from_secs(6),
        ..settings()
    }
}

/// What became of a message that was delivered so often and is refused so.
async fn fate(config: BrokerConfig, claims: Capabilities, attempt: u32, options: NackOptions) -> Disposition {
    let (broker, script) = broker_with(Script::new(claims), config);
    script.put_tried(attempt - 1);
    let delivery = broker.read("s", "g", 1).await.unwrap().next().unwrap();
    assert_eq!(delivery.nack_with(options).await.unwrap(), Settled::Nacked);
    assert_eq!(in_flight(&broker).await, 0);
    script.state().nacks[0].1
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_rests_longer_each_time_within_the_bounds_of_jitter() {
    for (attempt, most) in [(1, 1), (2, 2), (3, 4), (4, 6), (5, 6)] {
        for _ in 0..50 {
            let fate = fate(jittery(), CLAIMS, attempt, NackOptions::new()).await;
            let Disposition::Requeue { delay } = fate else {
                panic!("attempt {attempt}: {fate:?}");
            };
            let most = Duration::from_secs(most);
            assert!(delay >= most / 2 && delay <= most, "attempt {attempt}: {delay:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_last_attempt_a_message_goes_where_the_settings_say() {
    let off = || BrokerConfig {
        enable_dlq: false,
        ..settings()
    };
    let none = CLAIMS - Capabilities::DEAD_LETTER_QUEUE;
    let rest = NackOptions::new().delay(Duration::from_secs(9));
    for (config, claims, attempt, options, expected) in [
        (settings(), CLAIMS, 4, NackOptions::new(), Disposition::DeadLetter),
        (settings(), CLAIMS, 4, rest.clone(), Disposition::DeadLetter),
        (
            settings(),
            CLAIMS,
            1,
            NackOptions::new().dead_letter(),
            Disposition::DeadLetter,
        ),
        (off(), CLAIMS, 4, NackOptions::new(), Disposition::Discard),
        (
            off(),
            CLAIMS,
            1,
            NackOptions::new().dead_letter(),
            Disposition::Discard,
        ),
        (settings(), none, 4, NackOptions::new(), Disposition::Discard),
        (
            settings(),
            CLAIMS,
            1,
            NackOptions::new().discard(),
            Disposition::Discard,
        ),
        (
            settings(),
            CLAIMS,
            4,
            NackOptions::new().give_back(),
            Disposition::GiveBack,
        ),
        (
            settings(),
            CLAIMS,
            3,
            rest,
            Disposition::Requeue {
                delay: Duration::from_secs(9),
            },
        ),
    ] {
        assert_eq!(fate(config, claims, attempt, options).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_all_reason_is_cut_and_does_not_overflow() {
    let endless = NackOptions::new().delay(Duration::MAX);
    let fate = fate(settings(), CLAIMS, 1, endless).await;
    assert_eq!(
        fate,
        Disposition::Requeue {
            delay: Duration::from_secs(365 * 86_400)
        }
    );
}

#[tokio::test(start_paused = true)]
async fn the_reason_travels_with_the_refusal() {
    let (broker, script) = broker();
    script.put(1);
    let delivery = broker.read("s", "g", 1).await.unwrap().next().unwrap();
    let bounced = Error::new(ErrorKind::Permission, "mailbox full").source(std::io::Error::other("quota"));
    assert_eq!(Failure::from_error(&bounced).chain, ["quota"]);
    delivery
        .nack_with(NackOptions::new().error(&bounced))
        .await
        .unwrap();
    assert_eq!(script.state().nacks[0].2, "permission: mailbox full: quota");
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_too_often_is_dead_lettered_before_it_is_handed_out() {
    for script in [Script::new(CLAIMS), Script::new(CLAIMS).at_once()] {
        let (broker, script) = broker_with(script, settings());
        for attempts in [4, 0, 4, 4, 3, 0] {
            script.put_tried(attempts);
        }
        let mut deliveries = broker.subscribe("s", "g").start().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let delivery = deliveries.next().await.unwrap().unwrap();
            seen.push((delivery.payload().clone(), delivery.attempt()));
            delivery.ack_later();
        }
        assert_eq!(
            seen,
            [("1".into(), 1), ("4".into(), 4), ("5".into(), 1)],
            "the others, in order"
        );
        deliveries.settled().await.unwrap();
        let dead: Vec<_> = script
            .state()
            .nacks
            .iter()
            .filter(|nack| nack.1 == Disposition::WornOut)
            .cloned()
            .collect();
        let reason = "delivered 4 times and never settled".to_owned();
        assert_eq!(
            dead,
            [0, 2, 3].map(|place| (place, Disposition::WornOut, reason.clone()))
        );
        let counts = broker.health_stats().await.counts;
        assert_eq!(
            (counts.dead, counts.delivered, counts.redelivered, counts.acked),
            (3, 3, 1, 3)
        );
        assert_eq!(counts.in_flight, 0);
    }
}

/// Law 8: what can't be dead-lettered stays. It keeps nothing else from being delivered.
#[tokio::test(start_paused = true)]
async fn worn_out_messages_that_cannot_be_dead_lettered_stay() {
    let (broker, script) = broker();
    script.fail(
        "nack",
        2,
        &Error::new(ErrorKind::Permission, "no dead letters for you"),
    );
    script.put_tried(4);
    script.put(1);
    let mut batch = broker.read("s", "g", 10).await.unwrap();
    assert_eq!(batch.next().unwrap().payload().as_ref(), b"1");
    script.put_tried(4);
    assert_eq!(
        broker.read("s", "g", 10).await.unwrap_err().kind(),
        ErrorKind::Permission
    );
    let state = script.state();
    assert!(state.nacks.is_empty() && state.pending.contains_key(&0) && state.pending.contains_key(&2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_refused_by_one_call_for_each_attempt_number() {
    let (broker, script) = broker();
    script.put(3);
    script.put_tried(1);
    script.put_tried(1);
    let mut batch = broker.read("s", "g", 10).await.unwrap();
    drop(batch.next());
    let refused = Error::new(ErrorKind::Permission, "not yours");
    script.then("nack", [Step::Wait(Duration::ZERO), Step::Fail(refused)]);
    batch.nack(NackOptions::new()).await.unwrap_err();
    assert_eq!(
        (script.sizes("nack"), batch.len()),
        (vec![2, 2], 2),
        "the rest is still there"
    );
    let answers = batch.nack(NackOptions::new()).await.unwrap();
    assert_eq!((answers.len(), answers.effective(), batch.len()), (2, 2, 0));
    let second = Duration::from_secs(1);
    let delays = [(1, second), (2, second), (3, second * 2), (4, second * 2)]
        .map(|(place, delay)| (place, Disposition::Requeue { delay }, String::new()));
    assert_eq!(script.state().nacks, delays);
    assert_eq!(in_flight(&broker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_could_not_be_acked_is_as_it_was() {
    let (broker, script) = broker();
    script.put(5);
    script.fail("ack", 1, &Error::new(ErrorKind::Permission, "not yours"));
    let mut batch = broker.read("s", "g", 10).await.unwrap();
    batch.ack().await.unwrap_err();
    assert_eq!((batch.len(), in_flight(&broker).await), (5, 5));
    assert!(batch.ack().await.unwrap().is_complete());
    assert_eq!((batch.len(), in_flight(&broker).await), (0, 0));
    assert!(batch.ack().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn settling_by_receipt_makes_no_group() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(1), settings());
    let receipt = Receipt {
        sequence: 7,
        attempt: 1,
        ..Receipt::default()
    };
    assert_eq!(
        broker.ack("s", "nobody", receipt).await.unwrap(),
        Settled::NotPending
    );
    let answer = broker
        .nack("s", "nobody", receipt, NackOptions::new())
        .await
        .unwrap();
    assert_eq!((answer, script.count("reader")), (Settled::NotPending, 0));

    script.put(1);
    let receipt = broker.read("s", "g", 1).await.unwrap().next().unwrap().receipt();
    assert_eq!(broker.ack("s", "g", receipt).await.unwrap(), Settled::Acked);
    assert_eq!(script.count("reader"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_joined_once_however_many_read_at_once() {
    let (broker, script) = broker_with(Script::new(CLAIMS).resolving(1), settings());
    script.then("reader", [Step::Wait(Duration::from_millis(10))]);
    let reads = (0..32).map(|_| broker.read("s", "g", 1));
    for read in futures_util::future::join_all(reads).await {
        read.unwrap();
    }
    assert_eq!(script.count("reader"), 1);
}

/// Whatever becomes of deliveries, the counts say just that.
#[tokio::test(start_paused = true)]
async fn counts_are_what_was_done() {
    let (broker, script) = broker();
    for number in 0..12 {
        broker
            .publish("s", Message::text(number.to_string()))
            .await
            .unwrap();
    }
    let mut batch = broker.read("s", "g", 12).await.unwrap();
    assert_eq!(in_flight(&broker).await, 12);
    let mut one = || batch.next().unwrap();

    let acked = one();
    acked.ack().await.unwrap();
    acked.ack().await.unwrap();
    drop(acked);
    one().ack_later();
    script.then("ack", [Step::Forget]);
    one().ack_later();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(one());
    let refused = one();
    refused.nack().await.unwrap();
    refused.nack().await.unwrap();
    drop(refused);
    one().nack_with(NackOptions::new().dead_letter()).await.unwrap();
    one().nack_with(NackOptions::new().discard()).await.unwrap();
    one().nack_with(NackOptions::new().give_back()).await.unwrap();
    assert_eq!(in_flight(&broker).await, 4);
    drop(batch);

    let again = broker.read("s", "g", 12).await.unwrap();
    assert_eq!(again.len(), 2, "the refused one and the one given back");
    again.ack_later();
    broker.read("s", "g", 12).await.unwrap().ack_later();

    let counts = broker.health_stats().await.counts;
    assert_eq!((counts.published, counts.publish_failed), (12, 0));
    assert_eq!((counts.delivered, counts.redelivered), (14, 1));
    assert_eq!((counts.nacked, counts.dead, counts.discarded), (1, 1, 1));
    assert_eq!(
        (counts.acked, counts.in_flight),
        (4, 0),
        "one answer of five was lost"
    );
}
