//! Delayed delivery.

use broker_core::base::{BaseBroker, ListenRequest, Source};
use broker_core::{Message, StartPosition};
use broker_inline::InlineConfig;
use tokio::time::Instant;

use crate::support::*;

fn later(text: &str, seconds: u64) -> Message {
    Message::text(text).delay(secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_invisible_to_every_group_until_it_is_due() {
    let rig = Rig::new(InlineConfig::default());
    let ids = rig
        .send(vec![later("b", 3), Message::text("a"), later("c", 5)])
        .await;
    assert_ne!(ids[0], ids[2]);
    let (one, other) = (member("one"), member_of("other", "one"));
    assert_eq!(texts(&rig.read(&one, 5).await), ["a"]);
    tokio::time::advance(ms(2_999)).await;
    assert!(rig.read(&one, 5).await.is_empty());
    tokio::time::advance(ms(1)).await;
    let got = rig.read(&one, 5).await;
    assert_eq!(texts(&got), ["b"]);
    assert_eq!(got[0].id, ids[0]);
    assert_eq!(texts(&rig.read(&other, 5).await), ["a", "b"]);
    tokio::time::advance(secs(2)).await;
    assert_eq!(rig.read(&other, 5).await[0].id, ids[2]);
}

#[tokio::test(start_paused = true)]
async fn readers_that_wait_wake_by_themselves_when_a_message_is_due() {
    let rig = Rig::new(InlineConfig::default());
    let started = Instant::now();
    let request = ListenRequest {
        source: Source::Stream(stream("s")),
        start: StartPosition::Latest,
    };
    let listener = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .listener(&request)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("one"), 5, secs(60)).await }
    });
    tokio::time::sleep(ms(1)).await;
    rig.send(vec![later("b", 20), later("a", 10)]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["a"]);
    assert_eq!(started.elapsed(), ms(10_001));
    assert_eq!(texts(&unpack(&listener.read(5, secs(60)).await.unwrap())), ["a"]);
    assert_eq!(texts(&unpack(&listener.read(5, secs(60)).await.unwrap())), ["b"]);
    assert_eq!(started.elapsed(), ms(20_001));
}

#[tokio::test(start_paused = true)]
async fn law_13_delayed_messages_count_against_the_capacity() {
    let rig = Rig::new(InlineConfig::default().capacity(2));
    rig.send(vec![later("a", 10), later("b", 20)]).await;
    let publish = tokio::spawn({
        let rig = rig.clone();
        async move { rig.publish(&["c"]).await }
    });
    tokio::time::sleep(secs(5)).await;
    assert!(!publish.is_finished());
    // The first is due, nobody needs it, and it goes for the new one.
    tokio::time::sleep(secs(6)).await;
    publish.await.unwrap();
    assert_eq!(texts(&rig.read(&member("one"), 5).await), ["c"]);
    tokio::time::sleep(secs(10)).await;
    assert_eq!(texts(&rig.read(&member("one"), 5).await), ["b"]);
}
