//! Moving a group, and late groups.

use std::time::SystemTime;

use broker_core::base::BaseBroker;
use broker_core::{ErrorKind, Message, MessageId, Settled, StartPosition};
use broker_inline::InlineConfig;

use crate::support::*;

async fn seek(rig: &Rig, position: StartPosition) {
    let replay = rig.broker.families().replay.unwrap();
    replay.seek(&stream("s"), &group("g"), &position).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_is_moved_and_the_others_are_not() {
    for size in [1, 5, 25, 100] {
        let rig = Rig::new(InlineConfig::default());
        let mut ids = Vec::new();
        let mut times = Vec::new();
        for from in (0..100).step_by(size) {
            times.push(SystemTime::now());
            ids.extend(
                rig.send(
                    (from..from + size)
                        .map(|number| Message::text(number.to_string()))
                        .collect(),
                )
                .await,
            );
        }
        let (one, other) = (member("one"), member_of("other", "one"));
        let got = rig.read(&one, 1_000).await;
        rig.ack(&one, &got).await;
        let others = rig.read(&other, 50).await;
        rig.ack(&other, &others).await;

        seek(&rig, StartPosition::Earliest).await;
        assert_eq!(rig.read(&one, 1_000).await.len(), 100);
        seek(&rig, StartPosition::Id(ids[40].clone())).await;
        assert_eq!(rig.read(&one, 1_000).await[0].text, "40");
        let at = times.len() / 2;
        seek(&rig, StartPosition::Time(times[at])).await;
        assert_eq!(rig.read(&one, 1_000).await[0].text, (at * size).to_string());
        seek(&rig, StartPosition::Latest).await;
        assert!(rig.read(&one, 1_000).await.is_empty());
        assert_eq!(rig.read(&other, 1_000).await[0].text, "50");
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_from_before_a_move_are_stale() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..3).await;
    let one = member("one");
    let got = rig.read(&one, 3).await;
    seek(&rig, StartPosition::Earliest).await;
    assert_eq!(rig.ack(&one, &got).await, [Settled::Stale; 3]);
    let again = rig.read(&one, 3).await;
    assert_eq!(rig.ack(&one, &got).await, [Settled::Stale; 3]);
    assert_eq!(rig.ack(&one, &again).await, [Settled::Acked; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_moved_group_wakes_its_readers() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..1).await;
    let one = member("one");
    let got = rig.read(&one, 3).await;
    rig.ack(&one, &got).await;
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("two"), 5, secs(5)).await }
    });
    tokio::time::sleep(ms(1)).await;
    seek(&rig, StartPosition::Earliest).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_outside_of_what_is_kept_is_the_nearest_inside() {
    let rig = Rig::new(InlineConfig::default().capacity(10));
    let ids = rig.count(0..30).await;
    let one = member("one");
    rig.read(&one, 1).await;
    seek(&rig, StartPosition::Id(ids[3].clone())).await;
    assert_eq!(rig.read(&one, 1).await[0].text, "20");
    seek(
        &rig,
        StartPosition::Id(MessageId::Offset {
            partition: 0,
            offset: 999,
        }),
    )
    .await;
    assert!(rig.read(&one, 1).await.is_empty());
    seek(&rig, StartPosition::Time(SystemTime::UNIX_EPOCH)).await;
    assert_eq!(rig.read(&one, 1).await[0].text, "20");
    seek(&rig, StartPosition::Time(SystemTime::now() + secs(60))).await;
    assert!(rig.read(&one, 1).await.is_empty());
    let replay = rig.broker.families().replay.unwrap();
    for id in ["nonsense", "7:1"] {
        let position = StartPosition::Id(id.parse().unwrap());
        let error = replay
            .seek(&stream("s"), &group("g"), &position)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_group_starts_anywhere_in_the_history() {
    let rig = Rig::new(InlineConfig::default());
    let first = member_of("first", "one");
    let mut ids = Vec::new();
    for round in 0..3_usize {
        ids.extend(rig.count(round * 40..(round + 1) * 40).await);
        let got = rig.read(&first, 1_000).await;
        rig.ack(&first, &got).await;
        let late = member_of(&format!("late-{round}"), "one");
        assert_eq!(rig.read(&late, 1_000).await.len(), (round + 1) * 40);
    }
    let mut from_id = member_of("from-id", "one");
    from_id.start = StartPosition::Id(ids[100].clone());
    assert_eq!(rig.read(&from_id, 1_000).await[0].text, "100");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_found_by_its_id() {
    let rig = Rig::new(InlineConfig::default());
    let ids = rig
        .send(vec![Message::text("late").delay(secs(5)), Message::text("a")])
        .await;
    let one = member("one");
    rig.read(&one, 10).await;
    seek(&rig, StartPosition::Id(ids[0].clone())).await;
    assert!(rig.read(&one, 10).await.is_empty());
    tokio::time::advance(secs(5)).await;
    rig.publish(&["b"]).await;
    seek(&rig, StartPosition::Id(ids[0].clone())).await;
    assert_eq!(texts(&rig.read(&one, 10).await), ["late", "b"]);
}

#[tokio::test(start_paused = true)]
async fn replayed_dead_letters_survive_a_move() {
    use broker_core::Selection;
    use broker_core::base::Disposition;
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let one = member("one");
    let got = rig.read(&one, 2).await;
    rig.nack(&one, &got, Disposition::DeadLetter).await;
    let letters = rig.broker.families().dead_letters.unwrap();
    letters
        .replay(&stream("s"), &group("g"), &Selection::All)
        .await
        .unwrap();
    let got = rig.read(&one, 1).await;
    seek(&rig, StartPosition::Latest).await;
    assert_eq!(rig.ack(&one, &got).await, [Settled::Stale]);
    assert_eq!(texts(&rig.read(&one, 10).await), ["0", "1"]);
}
