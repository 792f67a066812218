//! Publishing, reading and settling: laws 2 to 7.

use crate::support::*;
use broker_core::base::{BaseBroker, Disposition, PublishBatch, ReadRequest};
use broker_core::{ErrorKind, Message, MessageId, Settled};
use broker_inline::InlineConfig;

#[tokio::test(start_paused = true)]
async fn what_was_published_is_read_in_order_under_its_ids() {
    let rig = Rig::new(InlineConfig::default());
    let mut ids = rig.publish(&["a", "b"]).await;
    let whole: Vec<String> = (0..100).map(|number| format!("whole {number}")).collect();
    ids.extend(rig.send(whole.iter().map(Message::text).collect()).await);
    ids.extend(rig.publish(&["c"]).await);

    let got = rig.read(&member("one"), 1_000).await;
    assert_eq!(got.iter().map(|got| got.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(texts(&got[..2]), ["a", "b"]);
    assert_eq!(got[101].text, "whole 99");
    assert_eq!(got[102].text, "c");
    assert!(attempts(&got).iter().all(|attempt| *attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn law_2_empty_means_that_nothing_was_there() {
    let rig = Rig::new(InlineConfig::default());
    assert!(rig.read(&member("one"), 10).await.is_empty());
    rig.publish(&["a"]).await;
    assert!(rig.read(&member("one"), 0).await.is_empty());
    assert_eq!(texts(&rig.read(&member("one"), 10).await), ["a"]);
    assert!(rig.read(&member("two"), 10).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn law_3_every_group_gets_every_message_and_its_members_share_them() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..10).await;
    for of in ["g", "h"] {
        let (one, two) = (member_of(of, "one"), member_of(of, "two"));
        let mut all = rig.read(&one, 4).await;
        all.extend(rig.read(&two, 4).await);
        all.extend(rig.read(&one, 4).await);
        assert_eq!(texts(&all), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[tokio::test(start_paused = true)]
async fn law_4_what_was_acked_never_comes_again() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..5).await;
    let one = member("one");
    let got = rig.read(&one, 10).await;
    assert_eq!(rig.ack(&one, &got).await, [Settled::Acked; 5]);
    tokio::time::advance(LEASE * 3).await;
    assert!(rig.read(&one, 10).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn law_5_settling_answers_what_became_of_the_delivery() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..4).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 3).await;
    rig.read(&two, 1).await;

    assert_eq!(rig.ack(&two, &got[..1]).await, [Settled::NotOwner]);
    assert_eq!(rig.ack(&one, &got[..1]).await, [Settled::Acked]);
    assert_eq!(rig.ack(&one, &got[..1]).await, [Settled::AlreadySettled]);
    assert_eq!(
        rig.nack(&one, &got[..1], Disposition::Discard).await,
        [Settled::AlreadySettled]
    );

    assert_eq!(rig.requeue(&one, &got[1..2], secs(0)).await, [Settled::Nacked]);
    assert_eq!(rig.ack(&one, &got[1..2]).await, [Settled::AlreadySettled]);
    let again = rig.read(&two, 1).await;
    assert_eq!((again[0].text.as_str(), again[0].receipt.attempt), ("1", 2));
    assert_eq!(rig.ack(&one, &got[1..2]).await, [Settled::Stale]);
    assert_eq!(rig.ack(&two, &again).await, [Settled::Acked]);

    let mut unknown = got[2].clone();
    unknown.receipt.sequence = 77;
    assert_eq!(rig.ack(&one, &[unknown]).await, [Settled::NotPending]);
    let mut future = got[2].clone();
    future.receipt.attempt = 2;
    assert_eq!(rig.ack(&one, &[future]).await, [Settled::NotPending]);
    assert_eq!(
        rig.ack(&member_of("other", "one"), &got[2..]).await,
        [Settled::NotPending]
    );
    let mut elsewhere = one.clone();
    elsewhere.stream = stream("elsewhere");
    assert_eq!(rig.ack(&elsewhere, &got[2..]).await, [Settled::NotPending]);

    tokio::time::advance(LEASE).await;
    assert_eq!(rig.ack(&one, &got[2..]).await, [Settled::Stale]);
    assert_eq!(attempts(&rig.read(&two, 1).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn law_5_a_receipt_of_another_group_settles_nothing() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let (one, other) = (member("one"), member_of("other", "one"));
    let got = rig.read(&one, 2).await;
    rig.read(&other, 2).await;
    assert_eq!(rig.ack(&other, &got).await, [Settled::NotPending; 2]);
    assert_eq!(rig.ack(&one, &got).await, [Settled::Acked; 2]);
}

#[tokio::test(start_paused = true)]
async fn law_6_an_ack_of_later_messages_never_covers_an_earlier_one() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..100).await;
    let one = member("one");
    let got = rig.read(&one, 100).await;
    let mut rest = got.clone();
    let kept = rest.remove(4);
    rest.reverse();
    assert!(
        rig.ack(&one, &rest)
            .await
            .iter()
            .all(|settled| *settled == Settled::Acked)
    );
    tokio::time::advance(LEASE).await;
    let again = rig.read(&one, 100).await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id.clone(), again[0].receipt.attempt), (kept.id, 2));
}

#[tokio::test(start_paused = true)]
async fn law_7_attempts_are_exact_whoever_gets_the_message() {
    let rig = Rig::new(InlineConfig::default());
    rig.publish(&["a"]).await;
    for attempt in 1..=5 {
        let who = member(if attempt % 2 == 0 { "even" } else { "odd" });
        let got = rig.read(&who, 1).await;
        assert_eq!(attempts(&got), [attempt]);
        if attempt % 2 == 0 {
            rig.requeue(&who, &got, secs(0)).await;
        } else {
            tokio::time::advance(LEASE).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn giving_back_counts_no_attempt_and_fences_the_old_receipt() {
    let rig = Rig::new(InlineConfig::default());
    rig.publish(&["a"]).await;
    let one = member("one");
    let first = rig.read(&one, 1).await;
    assert_eq!(
        rig.nack(&one, &first, Disposition::GiveBack).await,
        [Settled::Nacked]
    );
    assert_eq!(rig.ack(&one, &first).await, [Settled::AlreadySettled]);
    let second = rig.read(&one, 1).await;
    assert_eq!(attempts(&second), [1]);
    assert_eq!(rig.ack(&one, &first).await, [Settled::Stale]);
    assert_eq!(rig.ack(&one, &second).await, [Settled::Acked]);
}

#[tokio::test(start_paused = true)]
async fn redelivered_messages_come_before_new_ones() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..6).await;
    let one = member("one");
    let got = rig.read(&one, 4).await;
    rig.requeue(&one, &[got[2].clone(), got[0].clone()], secs(0))
        .await;
    assert_eq!(texts(&rig.read(&one, 3).await), ["0", "2", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_nack_rests_while_others_flow() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let one = member("one");
    let got = rig.read(&one, 1).await;
    rig.requeue(&one, &got, ms(1_500)).await;
    assert_eq!(texts(&rig.read(&one, 5).await), ["1"]);
    tokio::time::advance(ms(1_499)).await;
    assert!(rig.read(&one, 5).await.is_empty());
    tokio::time::advance(ms(1)).await;
    let again = rig.read(&one, 5).await;
    assert_eq!((again[0].text.as_str(), again[0].receipt.attempt), ("0", 2));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_message_is_gone() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let one = member("one");
    let got = rig.read(&one, 1).await;
    assert_eq!(
        rig.nack(&one, &got, Disposition::Discard).await,
        [Settled::Nacked]
    );
    tokio::time::advance(LEASE).await;
    assert_eq!(texts(&rig.read(&one, 5).await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_window_hands_out_nothing_until_something_is_settled() {
    let rig = Rig::new(InlineConfig::default().max_unsettled(4));
    rig.count(0..10).await;
    let one = member("one");
    let got = rig.read(&one, 10).await;
    assert_eq!(got.len(), 4);
    assert!(rig.read(&one, 10).await.is_empty());
    // The window ends at the oldest unsettled delivery.
    rig.ack(&one, &got[1..]).await;
    assert!(rig.read(&one, 10).await.is_empty());
    rig.ack(&one, &got[..1]).await;
    assert_eq!(texts(&rig.read(&one, 10).await), ["4", "5", "6", "7"]);
}

#[tokio::test(start_paused = true)]
async fn law_12_after_close_every_call_says_closed() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..1).await;
    let one = member("one");
    let got = rig.read(&one, 1).await;
    let endpoints = rig.broker.families().endpoints.unwrap();
    let publisher = endpoints.publisher(&stream("s")).await.unwrap();
    let reader = endpoints.reader(&one).await.unwrap();
    rig.broker.close().await.unwrap();
    rig.broker.close().await.unwrap();

    let closed = |error: broker_core::Error| assert_eq!(error.kind(), ErrorKind::Closed);
    let mut batch = vec![Message::text("late")];
    closed(
        rig.broker
            .publish(PublishBatch::new(&stream("s"), &mut batch))
            .await
            .unwrap_err(),
    );
    assert_eq!(batch.len(), 1);
    let request = ReadRequest {
        member: &one,
        max: 1,
        wait: secs(60),
    };
    closed(rig.broker.read(request).await.unwrap_err());
    closed(rig.try_nack(&one, &got, Disposition::Discard).await.unwrap_err());
    closed(rig.broker.ping().await.unwrap_err());
    closed(
        publisher
            .try_publish_one(&mut Some(Message::text("late")))
            .unwrap()
            .unwrap_err(),
    );
    closed(reader.try_read(1).unwrap().unwrap_err());
    closed(reader.read(1, secs(60)).await.unwrap_err());
    closed(reader.try_ack(&runs(&got)).unwrap().unwrap_err());
    closed(rig.broker.families().streams.unwrap().list().await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_the_same_broker_with_the_names_resolved() {
    let rig = Rig::new(InlineConfig::default());
    let one = member("one");
    let endpoints = rig.broker.families().endpoints.unwrap();
    let publisher = endpoints.publisher(&stream("s")).await.unwrap();
    let reader = endpoints.reader(&one).await.unwrap();
    assert!(reader.settles() && reader.try_read(5).is_none());

    let id = publisher
        .try_publish_one(&mut Some(Message::text("a")))
        .unwrap()
        .unwrap();
    assert_eq!(
        id,
        MessageId::Offset {
            partition: 0,
            offset: 0
        }
    );
    let mut batch = vec![Message::text("b"), Message::text("c")];
    assert_eq!(publisher.try_publish(&mut batch).unwrap().unwrap().stored(), 2);
    assert!(batch.is_empty());

    let got = unpack(&reader.try_read(5).unwrap().unwrap());
    assert_eq!(texts(&got), ["a", "b", "c"]);
    assert!(reader.try_ack(&runs(&got[..2])).unwrap().unwrap().is_complete());
    assert_eq!(
        rig.ack(&one, &got).await,
        [Settled::AlreadySettled, Settled::AlreadySettled, Settled::Acked]
    );
}
