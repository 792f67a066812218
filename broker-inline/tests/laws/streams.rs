//! Streams as an operator sees them.

use broker_core::base::BaseBroker;
use broker_core::{Message, MessageId, Settled};
use broker_inline::InlineConfig;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn streams_are_listed_and_shown() {
    let rig = Rig::new(InlineConfig::default());
    let streams = rig.broker.families().streams.unwrap();
    rig.send_to("b", vec![Message::text("1"), Message::text("2")])
        .await;
    rig.send_to("a", vec![Message::text("1")]).await;
    assert_eq!(streams.list().await.unwrap(), [stream("a"), stream("b")]);
    let info = streams.info(&stream("b")).await.unwrap().unwrap();
    let id = |offset| Some(MessageId::Offset { partition: 0, offset });
    assert_eq!(
        (info.messages, info.partitions, info.first, info.last),
        (2, 1, id(0), id(1))
    );
    assert!(streams.info(&stream("c")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_is_gone_with_its_groups_and_whoever_holds_it_goes_on() {
    let rig = Rig::new(InlineConfig::default());
    let streams = rig.broker.families().streams.unwrap();
    let endpoints = rig.broker.families().endpoints.unwrap();
    let publisher = endpoints.publisher(&stream("s")).await.unwrap();
    let reader = endpoints.reader(&member("one")).await.unwrap();
    rig.count(0..3).await;
    let got = unpack(&reader.try_read(2).unwrap().unwrap());
    assert!(streams.delete(&stream("s")).await.unwrap());
    assert!(!streams.delete(&stream("s")).await.unwrap());
    assert!(streams.list().await.unwrap().is_empty());
    assert!(rig.groups().await.is_empty());

    publisher
        .try_publish_one(&mut Some(Message::text("new")))
        .unwrap()
        .unwrap();
    assert_eq!(streams.list().await.unwrap(), [stream("s")]);
    assert_eq!(
        reader.try_ack(&runs(&got)).unwrap().unwrap().get(0),
        Some(Settled::Stale)
    );
    assert_eq!(texts(&unpack(&reader.try_read(5).unwrap().unwrap())), ["new"]);
    assert_eq!(texts(&rig.read(&member_of("h", "one"), 5).await), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn health_counts_what_there_is() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..3).await;
    rig.send(vec![Message::text("later").delay(secs(5))]).await;
    rig.read(&member("one"), 2).await;
    let report = rig.broker.health_stats();
    let number = |name: &str| {
        report
            .details
            .iter()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        [
            "streams",
            "groups",
            "messages",
            "delayed",
            "pending",
            "dead_letters"
        ]
        .map(number),
        ["1", "1", "4", "1", "2", "0"]
    );
    assert!(report.warnings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn health_warns_of_a_window_that_is_stuck() {
    let rig = Rig::new(InlineConfig::default().max_unsettled(2));
    rig.count(0..3).await;
    let got = rig.read(&member("one"), 3).await;
    rig.ack(&member("one"), &got[1..]).await;
    assert_eq!(
        rig.broker.health_stats().warnings,
        ["group `g` of stream `s` has its oldest delivery unsettled and 2 behind it; settle it"]
    );
}
