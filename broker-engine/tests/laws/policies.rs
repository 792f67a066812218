//! Payloads in other codecs, and subscribers that are added at once.

use broker::engine::{Cbor, MessagePack};
use broker::prelude::*;

use crate::support::{Seen, inline, until};

#[tokio::test(start_paused = true)]
async fn of_two_that_are_added_at_once_for_one_group_one_is_refused() {
    async fn ignore() {}
    let engine = Engine::builder(inline()).start().await.unwrap();
    let handle = engine.handle();
    let add = || handle.add(Subscriber::new("numbers", "twins").handle(ignore));
    let (first, second) = tokio::join!(add(), add());
    let refused = second.unwrap_err().to_string();
    assert!(first.is_ok() && refused.contains("running already"), "{refused}");
    engine.stop().await.unwrap();
    let late = handle
        .add(Subscriber::new("numbers", "late").handle(ignore))
        .await;
    assert_eq!(late.unwrap_err().kind(), broker::ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn payloads_come_in_message_pack_and_cbor() {
    let brokers = inline();
    let seen = Seen::<(u8, String)>::default();
    async fn pack(MessagePack(value): MessagePack<(u8, String)>, State(seen): State<Seen<(u8, String)>>) {
        seen.push(value);
    }
    async fn cbor(Cbor(value): Cbor<(u8, String)>, State(seen): State<Seen<(u8, String)>>) {
        seen.push(value);
    }
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("values", "reader")
                .on("pack", pack)
                .on("cbor", cbor)
                .require(Capabilities::BASIC_PUBSUB),
        )
        .retry(RetryPolicy::attempts(1))
        .start()
        .await
        .unwrap();
    let packed = [0x92, 7, 0xa1, b'a'].to_vec();
    brokers
        .publish("values", Message::new(packed).kind("pack"))
        .await
        .unwrap();
    let cbor = [0x82, 8, 0x61, b'b'].to_vec();
    brokers
        .publish("values", Message::new(cbor).kind("cbor"))
        .await
        .unwrap();
    until("both are read", || seen.len() == 2).await;
    engine.stop().await.unwrap();
    assert_eq!(seen.all(), [(7, "a".to_owned()), (8, "b".to_owned())]);
}
