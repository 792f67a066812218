//! Removing old messages: law 14.

use std::time::SystemTime;

use broker_core::base::{BaseBroker, TrimTo, Trimmed};
use broker_core::{BrokerEvent, Message, MessageId, Settled};
use broker_inline::InlineConfig;

use crate::support::*;

async fn trim(rig: &Rig, to: TrimTo, force: bool) -> Trimmed {
    rig.broker
        .families()
        .retention
        .unwrap()
        .trim(&stream("s"), &to, force)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn law_14_nothing_that_a_group_needs_is_removed() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..10).await;
    let one = member("one");
    let got = rig.read(&one, 5).await;
    rig.ack(&one, &[got[0].clone(), got[1].clone(), got[4].clone()])
        .await;
    assert_eq!(
        trim(&rig, TrimTo::Length(0), false).await,
        Trimmed { removed: 2, lost: 0 }
    );
    assert_eq!(texts(&rig.read(&member_of("late", "one"), 1).await), ["2"]);
    assert_eq!(rig.ack(&one, &got[2..4]).await, [Settled::Acked; 2]);
}

#[tokio::test(start_paused = true)]
async fn law_14_a_forced_hole_is_counted_and_told_and_the_groups_go_on() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..10).await;
    let (one, other) = (member("one"), member_of("other", "one"));
    let got = rig.read(&one, 4).await;
    rig.ack(&one, &got[1..3]).await;
    let others = rig.read(&other, 2).await;
    rig.ack(&other, &others).await;
    rig.requeue(&one, &got[3..], secs(1)).await;
    // Of the first six, group `g` needs 0, 3, 4, 5, the other 2, 3, 4, 5.
    assert_eq!(
        trim(&rig, TrimTo::Length(4), true).await,
        Trimmed { removed: 6, lost: 5 }
    );
    let lost = |of: &str| BrokerEvent::MessagesLost {
        stream: stream("s"),
        group: group(of),
        count: 4,
    };
    assert_eq!(rig.events().await, [lost("g"), lost("other")]);
    assert_eq!(rig.ack(&one, &got[..1]).await, [Settled::AlreadySettled]);
    tokio::time::advance(LEASE).await;
    assert_eq!(texts(&rig.read(&one, 10).await), ["6", "7", "8", "9"]);
    assert_eq!(texts(&rig.read(&other, 10).await), ["6", "7", "8", "9"]);
    let info = rig.groups().await;
    assert_eq!((info[0].pending, info[0].lag), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn messages_are_removed_by_count_id_and_time() {
    let rig = Rig::new(InlineConfig::default());
    let ids = rig.count(0..50).await;
    let time = SystemTime::now();
    rig.send(
        (50..150)
            .map(|number| Message::text(number.to_string()))
            .collect(),
    )
    .await;
    assert_eq!(trim(&rig, TrimTo::Length(1_000), false).await.removed, 0);
    assert_eq!(trim(&rig, TrimTo::Length(140), false).await.removed, 10);
    assert_eq!(trim(&rig, TrimTo::Id(ids[25].clone()), false).await.removed, 15);
    assert_eq!(trim(&rig, TrimTo::Time(time), false).await.removed, 25);
    assert_eq!(trim(&rig, TrimTo::Length(70), false).await.removed, 30);
    let info = rig.info().await.unwrap();
    assert_eq!(info.messages, 70);
    assert_eq!(
        info.first,
        Some(MessageId::Offset {
            partition: 0,
            offset: 80
        })
    );
    assert_eq!(texts(&rig.read(&member("one"), 1).await), ["80"]);
    let all = trim(&rig, TrimTo::Length(0), true).await;
    assert_eq!(
        all,
        Trimmed {
            removed: 70,
            lost: 70
        }
    );
    rig.publish(&["next"]).await;
    assert_eq!(texts(&rig.read(&member("one"), 5).await), ["next"]);
}

#[tokio::test(start_paused = true)]
async fn law_14_trimming_makes_room_for_a_publisher_that_waits() {
    let rig = Rig::new(InlineConfig::default().capacity(4));
    rig.read(&member("gone"), 1).await;
    rig.count(0..4).await;
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move { rig.publish(&["4"]).await }
    });
    tokio::time::sleep(ms(1)).await;
    assert_eq!(trim(&rig, TrimTo::Length(2), true).await.lost, 2);
    publish.await.unwrap();
    assert_eq!(texts(&rig.read(&member("gone"), 10).await), ["2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn law_14_a_key_that_waited_for_a_removed_message_is_free() {
    let rig = Rig::new(InlineConfig::default());
    let keyed = |text: &str| Message::text(text).key("a");
    rig.send(vec![keyed("a1"), Message::text("free"), keyed("a2")])
        .await;
    let one = sequential("one");
    assert_eq!(texts(&rig.read(&one, 10).await), ["a1", "free"]);
    trim(&rig, TrimTo::Length(2), true).await;
    assert_eq!(texts(&rig.read(&one, 10).await), ["a2"]);
}
