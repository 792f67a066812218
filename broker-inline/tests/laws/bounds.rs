//! Bounds: laws 13 and 14.

use std::sync::Arc;

use broker_core::base::{BaseBroker, PublishBatch, ReadRequest, Settle};
use broker_core::{ErrorKind, Message, Outcome, Retry, Settled, StartPosition};
use broker_inline::{InlineConfig, WhenFull};
use bytes::Bytes;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn law_13_without_groups_the_oldest_messages_go() {
    let rig = Rig::new(InlineConfig::default().capacity(10));
    rig.count(0..25).await;
    let expected: Vec<_> = (15..25).map(|number| number.to_string()).collect();
    assert_eq!(texts(&rig.read(&member("late"), 100).await), expected);
    let info = rig.info().await.unwrap();
    assert_eq!(info.messages, 10);
}

#[tokio::test(start_paused = true)]
async fn law_13_of_what_all_groups_have_settled_some_is_kept() {
    let rig = Rig::new(InlineConfig::default().history(100));
    rig.count(0..500).await;
    assert_eq!(rig.read(&member_of("late", "one"), 1_000).await.len(), 500);
    rig.broker
        .families()
        .groups
        .unwrap()
        .delete(&stream("s"), &group("late"), true)
        .await
        .unwrap();

    let one = member("one");
    let mut published = 500;
    while published < 70_000 {
        rig.send((0..100).map(|number| Message::text(number.to_string())).collect())
            .await;
        published += 100;
        let got = rig.read(&one, 1_000).await;
        rig.ack(&one, &got).await;
    }
    let info = rig.info().await.unwrap();
    assert!((100..=300).contains(&info.messages), "{}", info.messages);
    let late = rig.read(&member_of("later", "one"), 1_000).await;
    assert_eq!(late.len() as u64, info.messages);
}

#[tokio::test(start_paused = true)]
async fn law_14_a_full_stream_waits_for_the_slowest_group() {
    let rig = Rig::new(InlineConfig::default().capacity(4));
    let (fast, slow) = (member_of("fast", "one"), member_of("slow", "one"));
    rig.count(0..4).await;
    let quick = rig.read(&fast, 4).await;
    let got = rig.read(&slow, 4).await;
    rig.ack(&fast, &quick).await;
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move { rig.publish(&["4"]).await }
    });
    tokio::time::sleep(secs(20)).await;
    assert!(!publish.is_finished());
    assert!(
        rig.broker.health_stats().warnings[0]
            .contains("stream `s` is full for group `slow`; 1 publishers wait")
    );
    let started = Instant::now();
    rig.ack(&slow, &got[..1]).await;
    publish.await.unwrap();
    assert!(started.elapsed() < ms(10));
    assert_eq!(texts(&rig.read(&fast, 10).await), ["4"]);
    assert_eq!(rig.ack(&slow, &got[1..]).await, [Settled::Acked; 3]);
    assert_eq!(texts(&rig.read(&slow, 10).await), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn law_13_a_full_stream_can_refuse_and_then_nothing_is_stored() {
    let rig = Rig::new(InlineConfig::default().capacity(2).when_full(WhenFull::Refuse));
    let one = member("one");
    assert!(rig.read(&one, 1).await.is_empty());
    rig.count(0..2).await;
    let mut batch = vec![Message::text("2")];
    let error = rig
        .broker
        .publish(PublishBatch::new(&stream("s"), &mut batch))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_class(), batch.len()),
        (ErrorKind::Throttled, Retry::Safe, 1)
    );
    let publisher = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .publisher(&stream("s"))
        .await
        .unwrap();
    assert_eq!(
        publisher
            .try_publish_one(&mut Some(Message::text("2")))
            .unwrap()
            .unwrap_err()
            .kind(),
        ErrorKind::Throttled
    );
    let got = rig.read(&one, 5).await;
    assert_eq!(texts(&got), ["0", "1"]);
    rig.ack(&one, &got).await;
    rig.broker
        .publish(PublishBatch::new(&stream("s"), &mut batch))
        .await
        .unwrap();
    assert_eq!(texts(&rig.read(&one, 5).await), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn law_13_bytes_are_bounded_too() {
    let rig = Rig::new(
        InlineConfig::default()
            .capacity_bytes(1_000)
            .when_full(WhenFull::Refuse),
    );
    for _ in 0..30 {
        rig.send(vec![Message::new(vec![b'x'; 100])]).await;
    }
    assert_eq!(rig.read(&member("one"), 100).await.len(), 10);
    let mut batch = vec![Message::new(vec![b'x'; 100])];
    let error = rig
        .broker
        .publish(PublishBatch::new(&stream("s"), &mut batch))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    let mut batch = vec![Message::new(vec![b'x'; 1_001])];
    let error = rig
        .broker
        .publish(PublishBatch::new(&stream("s"), &mut batch))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "too large: a message has 1001 bytes; stream `s` keeps 1000 in all (capacity_bytes)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_stream_goes_in_pieces() {
    let rig = Rig::new(InlineConfig::default().capacity(50));
    let one = member("one");
    rig.read(&one, 1).await;
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move {
            rig.send((0..230).map(|number| Message::text(number.to_string())).collect())
                .await
        }
    });
    let mut all = Vec::new();
    while all.len() < 230 {
        let got = rig.wait(&one, 7, secs(5)).await;
        assert!(!got.is_empty());
        rig.ack(&one, &got).await;
        all.extend(got);
    }
    let ids = publish.await.unwrap();
    assert_eq!(all.iter().map(|got| got.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(
        texts(&all),
        (0..230).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_stream_says_which_messages_were_refused() {
    let rig = Rig::new(InlineConfig::default().capacity(50).when_full(WhenFull::Refuse));
    rig.read(&member("one"), 1).await;
    let mut batch = (0..120).map(|number| Message::text(number.to_string())).collect();
    let published = rig
        .broker
        .publish(PublishBatch::new(&stream("s"), &mut batch))
        .await
        .unwrap();
    assert_eq!((published.len(), published.stored()), (120, 50));
    let outcomes = published.into_outcomes();
    assert!(outcomes[..50].iter().all(Outcome::is_stored));
    assert!(matches!(&outcomes[50], Outcome::NotSent(error) if error.kind() == ErrorKind::Throttled));
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_a_publisher_that_waits() {
    let rig = Rig::new(InlineConfig::default().capacity(4));
    let one = member("one");
    rig.read(&one, 1).await;
    rig.count(0..4).await;
    let waiting: Vec<_> = ["4", "5", "6"]
        .into_iter()
        .map(|text| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.publish(&[text]).await })
        })
        .collect();
    tokio::time::sleep(ms(1)).await;
    let publisher = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .publisher(&stream("s"))
        .await
        .unwrap();
    let got = rig.read(&one, 4).await;
    rig.ack(&one, &got).await;
    // There is room now, and three that were here first.
    let mut last = Some(Message::text("7"));
    assert!(publisher.try_publish_one(&mut last).is_none() && last.is_some());
    for publish in waiting {
        publish.await.unwrap();
    }
    publisher.try_publish_one(&mut last).unwrap().unwrap();
    assert_eq!(texts(&rig.read(&one, 10).await), ["4", "5", "6", "7"]);
}

#[tokio::test(start_paused = true)]
async fn law_11_dropping_a_publish_that_waits_leaves_the_batch_and_the_queue_whole() {
    let rig = Rig::new(InlineConfig::default().capacity(1));
    let one = member("one");
    rig.read(&one, 1).await;
    rig.publish(&["0"]).await;
    let mut batch = vec![Message::text("dropped")];
    let dropped = tokio::time::timeout(
        secs(1),
        rig.broker.publish(PublishBatch::new(&stream("s"), &mut batch)),
    )
    .await;
    assert!(dropped.is_err());
    assert_eq!(batch, [Message::text("dropped")]);
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move { rig.publish(&["1"]).await }
    });
    tokio::time::sleep(ms(1)).await;
    let got = rig.read(&one, 1).await;
    rig.ack(&one, &got).await;
    publish.await.unwrap();
    assert_eq!(texts(&rig.read(&one, 5).await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn room_too_small_to_be_told_is_found_all_the_same() {
    let rig = Rig::new(InlineConfig::default().capacity(1_000));
    let one = member("one");
    rig.read(&one, 1).await;
    rig.count(0..1_000).await;
    let got = rig.read(&one, 10).await;
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move { rig.publish(&["more"]).await }
    });
    tokio::time::sleep(ms(1)).await;
    rig.ack(&one, &got[..1]).await;
    let started = Instant::now();
    publish.await.unwrap();
    assert!(started.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn law_13_a_kept_delivery_keeps_its_own_segment_only() {
    let rig = Rig::new(InlineConfig::default().capacity(100));
    let one = member("one");
    let alive = Arc::new([7_u8; 64]);
    let mut kept = None;
    for _ in 0..50 {
        let payload = || Bytes::from_owner(Payload(alive.clone()));
        rig.send((0..50).map(|_| Message::new(payload())).collect()).await;
        let request = ReadRequest {
            member: &one,
            max: 50,
            wait: ms(0),
        };
        let got = rig.broker.read(request).await.unwrap();
        let runs: Vec<_> = got.lots().iter().flat_map(|lot| lot.runs_from(0)).collect();
        let settled = rig
            .broker
            .ack(Settle {
                member: &one,
                runs: &runs,
            })
            .await
            .unwrap();
        assert!(settled.is_complete());
        kept.get_or_insert(got);
    }
    // The stream keeps a hundred, and the delivery its fifty.
    assert_eq!(Arc::strong_count(&alive) - 1, 150);
    drop(kept);
    assert_eq!(Arc::strong_count(&alive) - 1, 100);
}

/// A payload whose copies can be counted.
struct Payload(Arc<[u8; 64]>);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}

#[tokio::test(start_paused = true)]
async fn law_13_streams_groups_and_consumers_are_bounded() {
    let rig = Rig::new(InlineConfig::default().max_streams(2).max_groups(2));
    rig.send_to("a", vec![Message::text("1")]).await;
    rig.send_to("b", vec![Message::text("1")]).await;
    let mut batch = vec![Message::text("1")];
    let error = rig
        .broker
        .publish(PublishBatch::new(&stream("c"), &mut batch))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "throttled: there are 2 streams, as many as there may be (max_streams); delete one"
    );
    let families = rig.broker.families();
    assert!(families.streams.unwrap().delete(&stream("a")).await.unwrap());
    rig.send_to("c", vec![Message::text("1")]).await;

    let groups = families.groups.unwrap();
    for name in ["g", "h"] {
        groups
            .create(&stream("c"), &group(name), &StartPosition::Earliest)
            .await
            .unwrap();
    }
    let error = groups
        .create(&stream("c"), &group("i"), &StartPosition::Earliest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    groups.delete(&stream("c"), &group("g"), false).await.unwrap();
    assert!(
        groups
            .create(&stream("c"), &group("i"), &StartPosition::Earliest)
            .await
            .unwrap()
    );
    for number in 0..5_000 {
        let mut member = member_of("i", &format!("consumer-{number}"));
        member.stream = stream("c");
        rig.read(&member, 1).await;
    }
    let info = groups.list(&stream("c")).await.unwrap();
    assert_eq!(info[1].members.len(), 4_096);
    assert_eq!(info[1].pending, 1);
}
