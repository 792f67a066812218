//! Publishing one message twice.

use broker_core::Message;
use broker_inline::InlineConfig;

use crate::support::*;

fn named(text: &str, id: &'static str) -> Message {
    Message::text(text).id(id)
}

#[tokio::test(start_paused = true)]
async fn the_same_id_is_stored_once_and_answers_the_first_ones_id() {
    let rig = Rig::new(InlineConfig::default());
    let first = rig
        .send(vec![
            named("a", "1"),
            Message::text("free"),
            named("b", "2"),
            named("c", "1"),
        ])
        .await;
    assert_eq!(first[0], first[3]);
    let again = rig.send(vec![named("b again", "2"), named("d", "3")]).await;
    assert_eq!(again[0], first[2]);
    assert_eq!(
        texts(&rig.read(&member("one"), 10).await),
        ["a", "free", "b", "d"]
    );
    // Another stream remembers for itself.
    assert_eq!(rig.send_to("other", vec![named("a", "1")]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_window_is_bounded() {
    let rig = Rig::new(InlineConfig::default().idempotency_window(2));
    for id in ["1", "2", "3", "3", "1"] {
        rig.send(vec![named(id, id)]).await;
    }
    assert_eq!(texts(&rig.read(&member("one"), 10).await), ["1", "2", "3", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_stored_once_too() {
    let rig = Rig::new(InlineConfig::default());
    let first = rig.send(vec![named("a", "1").delay(secs(5))]).await;
    assert_eq!(rig.send(vec![named("a", "1").delay(secs(9))]).await, first);
    tokio::time::advance(secs(20)).await;
    assert_eq!(rig.read(&member("one"), 10).await.len(), 1);
}
