//! Independent readers.

use std::sync::Arc;

use broker_core::base::{BaseBroker, ListenRequest, ReadEndpoint, Source};
use broker_core::{BrokerEvent, ErrorKind, Message, StartPosition, StreamPattern};
use broker_inline::InlineConfig;
use tokio::time::Instant;

use crate::support::*;

async fn listen(rig: &Rig, source: Source, start: StartPosition) -> Arc<dyn ReadEndpoint> {
    let request = ListenRequest { source, start };
    rig.broker
        .families()
        .endpoints
        .unwrap()
        .listener(&request)
        .await
        .unwrap()
}

fn read(listener: &Arc<dyn ReadEndpoint>) -> Vec<Got> {
    listener
        .try_read(1_000)
        .map(|read| unpack(&read.unwrap()))
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn every_listener_sees_all_that_is_published_after_it_returned() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..3).await;
    let mut listeners = Vec::new();
    for _ in 0..5 {
        listeners.push(listen(&rig, Source::Stream(stream("s")), StartPosition::Latest).await);
    }
    let early = listen(&rig, Source::Stream(stream("s")), StartPosition::Earliest).await;
    rig.count(3..103).await;
    let expected: Vec<_> = (3..103).map(|number| number.to_string()).collect();
    for listener in &listeners {
        assert!(!listener.settles());
        assert_eq!(texts(&read(listener)), expected);
        assert!(listener.try_read(1).is_none());
    }
    assert_eq!(read(&early).len(), 103);
    assert_eq!(
        listeners[0].ack(&[]).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test(start_paused = true)]
async fn a_pattern_covers_streams_made_later_and_tells_the_true_stream() {
    let rig = Rig::new(InlineConfig::default());
    rig.send_to("user.a", vec![Message::text("before")]).await;
    let pattern = Source::Pattern(StreamPattern::new("user.*").unwrap());
    let listener = listen(&rig, pattern, StartPosition::Latest).await;
    for name in ["user.a", "user.b", "users.a", "user.a.b"] {
        rig.send_to(name, vec![Message::text(name)]).await;
    }
    let mut got = read(&listener);
    got.sort_by(|one, other| one.text.cmp(&other.text));
    assert_eq!(texts(&got), ["user.a", "user.b"]);
    assert!(
        got.iter()
            .all(|got| got.stream.as_ref().unwrap().as_str() == got.text)
    );

    let started = Instant::now();
    let waiting = tokio::spawn(async move { unpack(&listener.read(10, secs(60)).await.unwrap()) });
    tokio::time::sleep(secs(1)).await;
    rig.send_to("user.new", vec![Message::text("first")]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["first"]);
    assert_eq!(started.elapsed(), secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_too_slow_misses_what_was_removed_and_the_broker_tells() {
    let rig = Rig::new(InlineConfig::default().capacity(100));
    let listener = listen(&rig, Source::Stream(stream("s")), StartPosition::Latest).await;
    rig.count(0..10).await;
    assert_eq!(read(&listener).len(), 10);
    rig.count(10..1_000).await;
    assert!(rig.events().await.is_empty());
    let got = read(&listener);
    assert_eq!(got.last().unwrap().text, "999");
    assert!(got.len() < 200);
    assert!(matches!(&rig.events().await[..], [BrokerEvent::Gap { stream: of, .. }] if *of == stream("s")));
    rig.count(1_000..1_001).await;
    assert_eq!(texts(&read(&listener)), ["1000"]);
}

#[tokio::test(start_paused = true)]
async fn law_12_close_wakes_a_listener() {
    let rig = Rig::new(InlineConfig::default());
    for source in [
        Source::Stream(stream("s")),
        Source::Pattern(StreamPattern::new("x*").unwrap()),
    ] {
        let rig = Rig::new(InlineConfig::default());
        let listener = listen(&rig, source, StartPosition::Latest).await;
        let waiting = tokio::spawn(async move { listener.read(10, secs(60)).await.map(|_| ()) });
        tokio::time::sleep(secs(1)).await;
        rig.broker.close().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }
    drop(rig);
}
