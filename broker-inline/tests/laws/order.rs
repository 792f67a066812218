//! Order: law 10.

use broker_core::base::Disposition;
use broker_core::{Message, Settled};
use broker_inline::InlineConfig;

use crate::support::*;

fn keyed(key: &'static str, text: &str) -> Message {
    Message::text(text).key(key)
}

#[tokio::test(start_paused = true)]
async fn law_10_in_sequence_a_failing_message_parks_its_key_and_only_its_key() {
    let rig = Rig::new(InlineConfig::default());
    rig.send(vec![
        keyed("a", "a1"),
        keyed("b", "b1"),
        keyed("a", "a2"),
        Message::text("free"),
        keyed("b", "b2"),
        keyed("a", "a3"),
    ])
    .await;
    let one = sequential("one");
    let got = rig.read(&one, 10).await;
    assert_eq!(texts(&got), ["a1", "b1", "free"]);
    rig.requeue(&one, &got[..1], secs(5)).await;
    rig.ack(&one, &got[1..]).await;
    let got = rig.read(&one, 10).await;
    assert_eq!(texts(&got), ["b2"]);
    rig.ack(&one, &got).await;
    assert!(rig.read(&one, 10).await.is_empty());

    tokio::time::advance(secs(5)).await;
    let got = rig.read(&one, 10).await;
    assert_eq!((texts(&got), attempts(&got)), (vec!["a1"], vec![2]));
    rig.ack(&one, &got).await;
    let got = rig.read(&one, 10).await;
    assert_eq!((texts(&got), attempts(&got)), (vec!["a2"], vec![1]));
    assert_eq!(
        rig.nack(&one, &got, Disposition::Discard).await,
        [Settled::Nacked]
    );
    assert_eq!(texts(&rig.read(&one, 10).await), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn law_10_an_expired_lease_parks_the_key_too() {
    let rig = Rig::new(InlineConfig::default());
    rig.send(vec![keyed("a", "a1"), keyed("a", "a2"), keyed("b", "b1")])
        .await;
    let (one, two) = (sequential("one"), sequential("two"));
    assert_eq!(texts(&rig.read(&one, 1).await), ["a1"]);
    assert_eq!(texts(&rig.read(&two, 5).await), ["b1"]);
    tokio::time::advance(LEASE).await;
    let got = rig.read(&two, 5).await;
    assert_eq!((texts(&got), attempts(&got)), (vec!["a1", "b1"], vec![2, 2]));
    rig.ack(&two, &got[..1]).await;
    assert_eq!(texts(&rig.read(&two, 5).await), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn law_10_a_blocked_reader_wakes_when_its_key_is_free() {
    let rig = Rig::new(InlineConfig::default());
    rig.send(vec![keyed("a", "a1"), keyed("a", "a2")]).await;
    let one = sequential("one");
    let got = rig.read(&one, 5).await;
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&sequential("two"), 5, secs(5)).await }
    });
    tokio::time::sleep(secs(1)).await;
    rig.ack(&one, &got).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn law_10_a_group_that_was_read_otherwise_minds_what_is_out() {
    let rig = Rig::new(InlineConfig::default());
    rig.send(vec![
        keyed("a", "a1"),
        keyed("a", "a2"),
        keyed("a", "a3"),
        keyed("b", "b1"),
    ])
    .await;
    let (plain, one) = (member("plain"), sequential("one"));
    let got = rig.read(&plain, 2).await;
    assert_eq!(texts(&rig.read(&one, 5).await), ["b1"]);
    // The first is done, the second still out: the third waits.
    rig.ack(&plain, &got[..1]).await;
    assert!(rig.read(&one, 5).await.is_empty());
    rig.ack(&plain, &got[1..]).await;
    assert_eq!(texts(&rig.read(&one, 5).await), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn law_10_many_keys_and_failures_keep_each_keys_order() {
    let rig = Rig::new(InlineConfig::default());
    let keys = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];
    for number in 0..50 {
        rig.send(
            keys.iter()
                .map(|key| keyed(key, &format!("{key} {number:02}")))
                .collect(),
        )
        .await;
    }
    let (one, two) = (sequential("one"), sequential("two"));
    let mut done: Vec<String> = Vec::new();
    let mut step = 0_u32;
    while done.len() < 400 {
        let who = if step.is_multiple_of(2) { &one } else { &two };
        for got in rig.read(who, 5).await {
            step += 1;
            if step.is_multiple_of(5) {
                rig.requeue(who, &[got], secs(u64::from(step % 3))).await;
            } else {
                done.push(got.text.clone());
                assert_eq!(rig.ack(who, &[got]).await, [Settled::Acked]);
            }
        }
        step += 1;
        tokio::time::advance(ms(500)).await;
    }
    for key in keys {
        let of_key: Vec<_> = done.iter().filter(|text| text.starts_with(key)).collect();
        assert!(of_key.is_sorted() && of_key.len() == 50, "{key}: {of_key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn law_10_what_is_parked_counts_as_lag_not_as_pending() {
    let rig = Rig::new(InlineConfig::default());
    rig.send(vec![keyed("a", "a1"), keyed("a", "a2"), keyed("b", "b1")])
        .await;
    rig.read(&sequential("one"), 5).await;
    let info = rig.groups().await;
    assert_eq!((info[0].pending, info[0].lag), (2, 1));
}
