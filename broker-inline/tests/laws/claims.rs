//! Brokers lowered to imitate a weaker one.

use broker_core::base::{BaseBroker, Disposition, ListenRequest, PublishBatch, ReadRequest, Settle, Source};
use broker_core::{Capabilities, ErrorKind, Message, Settled, StartPosition, StreamPattern};
use broker_inline::InlineConfig;

use crate::support::*;

fn lowered(text: &str) -> Rig {
    let capabilities: Capabilities = text.parse().unwrap();
    Rig::new(InlineConfig::default().capabilities(capabilities).unwrap())
}

/// The flag that an error says is missing.
fn missing<T>(result: broker_core::Result<T>) -> Capabilities {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    error.capability().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_subset_of_flags_that_is_consistent_opens_and_agrees_with_its_families() {
    let full = Rig::new(InlineConfig::default()).broker.capabilities();
    assert!(full.contains(Capabilities::ENTERPRISE_STREAMING));
    for flag in full.flags() {
        let rig = Rig::new(InlineConfig::default().capabilities(full.without(flag)).unwrap());
        let lost: Capabilities = rig
            .broker
            .lost_capabilities()
            .iter()
            .map(|lost| lost.capability)
            .collect();
        assert_eq!(lost, full - full.without(flag));
    }
    assert!(
        Rig::new(InlineConfig::default())
            .broker
            .lost_capabilities()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_away_answers_unsupported_and_does_nothing() {
    let rig = lowered("SUBSCRIBE");
    let mut batch = vec![Message::text("a")];
    assert_eq!(
        missing(
            rig.broker
                .publish(PublishBatch::new(&stream("s"), &mut batch))
                .await
        ),
        Capabilities::PUBLISH
    );

    let rig = lowered("BASIC_PUBSUB");
    let one = member("one");
    let request = ReadRequest {
        member: &one,
        max: 1,
        wait: ms(0),
    };
    assert_eq!(
        missing(rig.broker.read(request).await),
        Capabilities::CONSUMER_GROUPS
    );
    let pattern = Source::Pattern(StreamPattern::new("*").unwrap());
    let request = ListenRequest {
        source: pattern,
        start: StartPosition::Latest,
    };
    let endpoints = rig.broker.families().endpoints.unwrap();
    assert_eq!(
        missing(endpoints.listener(&request).await),
        Capabilities::PATTERN_SUBSCRIPTION
    );
    assert!(rig.broker.families().groups.is_none());
    let mut delayed = vec![Message::text("a").delay(secs(1))];
    let name = stream("s");
    let batch = PublishBatch::new(&name, &mut delayed);
    assert_eq!(
        missing(rig.broker.publish(batch).await),
        Capabilities::DELAYED_DELIVERY
    );
    assert!(rig.info().await.is_none());

    let rig = lowered("SIMPLE_QUEUING");
    let mut later = one.clone();
    later.start = StartPosition::Time(std::time::SystemTime::now());
    let request = ReadRequest {
        member: &later,
        max: 1,
        wait: ms(0),
    };
    assert_eq!(missing(rig.broker.read(request).await), Capabilities::REPLAY);
    let in_sequence = sequential("one");
    let request = ReadRequest {
        member: &in_sequence,
        max: 1,
        wait: ms(0),
    };
    assert_eq!(
        missing(rig.broker.read(request).await),
        Capabilities::MESSAGE_ORDERING
    );
    let request = ReadRequest {
        member: &one,
        max: 1,
        wait: ms(1),
    };
    assert_eq!(
        missing(rig.broker.read(request).await),
        Capabilities::BLOCKING_READ
    );
    assert!(rig.groups().await.is_empty());
    let settle = Settle {
        member: &one,
        runs: &[],
    };
    assert_eq!(
        missing(rig.broker.ack(settle).await),
        Capabilities::MESSAGE_ACKNOWLEDGEMENT
    );
    let discard = rig.try_nack(&one, &[], Disposition::Discard).await;
    assert_eq!(missing(discard), Capabilities::MESSAGE_REJECTION);

    let rig = lowered("RELIABLE_MESSAGING");
    rig.publish(&["a"]).await;
    let got = rig.read(&one, 1).await;
    let bury = rig.try_nack(&one, &got, Disposition::DeadLetter).await;
    assert_eq!(missing(bury), Capabilities::DEAD_LETTER_QUEUE);
    assert_eq!(rig.ack(&one, &got).await, [Settled::Acked]);
}

#[tokio::test(start_paused = true)]
async fn without_acknowledgement_handing_out_is_all() {
    let rig = lowered("SIMPLE_QUEUING");
    rig.count(0..4).await;
    let reader = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .reader(&member("one"))
        .await
        .unwrap();
    assert!(!reader.settles());
    assert_eq!(unpack(&reader.try_read(3).unwrap().unwrap()).len(), 3);
    tokio::time::advance(LEASE * 2).await;
    assert_eq!(texts(&unpack(&reader.try_read(3).unwrap().unwrap())), ["3"]);
    let info = rig.groups().await;
    assert_eq!((info[0].pending, info[0].lag), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_replay_a_listener_has_no_history() {
    let rig = lowered("BASIC_PUBSUB");
    rig.publish(&["before"]).await;
    let request = ListenRequest {
        source: Source::Stream(stream("s")),
        start: StartPosition::Earliest,
    };
    let listener = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .listener(&request)
        .await
        .unwrap();
    rig.publish(&["after"]).await;
    assert_eq!(texts(&unpack(&listener.try_read(5).unwrap().unwrap())), ["after"]);
}

#[tokio::test(start_paused = true)]
async fn without_idempotent_publish_the_same_id_is_stored_twice() {
    let rig = lowered("RELIABLE_MESSAGING");
    rig.send(vec![Message::text("a").id("1"), Message::text("a").id("1")])
        .await;
    assert_eq!(rig.read(&member("one"), 5).await.len(), 2);
}
