//! Manual acks, answers that are messages, and subscribers that come and go.

use std::time::Duration;

use broker::Brokers;
use broker::engine::{AckPolicy, Cbor, MessagePack, Outcome, Outgoing};
use broker::prelude::{
    Capabilities, Delivery, Engine, Json, Message, NackOptions, RetryPolicy, State, Subscriber,
};

use crate::support::{Seen, dead, inline, publish_numbers, redis, until};

#[tokio::test(start_paused = true)]
async fn a_manual_handler_settles_itself() {
    let brokers = inline();
    async fn handle(delivery: Delivery) -> Result<(), broker::Error> {
        match delivery.json::<u64>()? {
            0 => delivery.ack().await.map(drop),
            _ => delivery
                .nack_with(NackOptions::new().dead_letter().reason("odd"))
                .await
                .map(drop),
        }
    }
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new("numbers", "hand")
                .handle(handle)
                .ack(AckPolicy::Manual),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 0..2, 0).await;
    until("both are handled", || {
        engine.receipt().of_group("hand").handled == 2
    })
    .await;
    engine.stop().await.unwrap();
    assert_eq!(dead(&brokers, "numbers", "hand").await.len(), 1);
    let groups = brokers.default_broker().groups("numbers").await.unwrap();
    assert_eq!((groups[0].pending, groups[0].lag), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_answers_with_is_published_and_follows_from_its_message() {
    let brokers = inline();
    async fn handle(Json(number): Json<u64>) -> Result<Outcome, broker::Error> {
        match number {
            0 => Ok(Outcome::Skip),
            1 => Ok(Outcome::dead_letter("one")),
            _ => Ok(Outcome::Publish(vec![
                Outgoing::new("doubled", Message::json(&(number * 2))?)?,
                Outgoing::new("doubled", Message::json(&(number * 3))?)?,
            ])),
        }
    }
    let engine = Engine::builder(brokers.clone())
        .subscribe(Subscriber::new("numbers", "doubler").handle(handle))
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    for number in 0..3_u64 {
        let message = Message::json(&number)
            .unwrap()
            .id(format!("number-{number}"))
            .header("traceparent", "00-1-2-01");
        brokers.publish("numbers", message).await.unwrap();
    }
    let read = brokers
        .default_broker()
        .receive_many("doubled", "looking", 2, Duration::from_secs(30));
    let doubled = read.await.unwrap();
    let tally = engine.stop().await.unwrap().of_group("doubler");
    assert_eq!(
        (tally.handled, tally.skipped, tally.dead, tally.published),
        (1, 1, 1, 2)
    );
    let values: Vec<u64> = doubled.iter().map(|delivery| delivery.json().unwrap()).collect();
    assert_eq!(values, [4, 6]);
    for (name, value) in [
        ("correlation-id", "number-2"),
        ("causation-id", "number-2"),
        ("traceparent", "00-1-2-01"),
    ] {
        assert_eq!(doubled[0].headers().get_str(name).unwrap(), Some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_come_and_go_while_the_engine_runs() {
    let brokers = inline();
    async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let seen = Seen::<u64>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 0..3, 0).await;
    let handle_of = engine.handle();
    handle_of
        .add(
            Subscriber::new("numbers", "late")
                .handle(handle)
                .remove_group_at_end(),
        )
        .await
        .unwrap();
    until("it catches up", || seen.len() == 3).await;
    let again = handle_of
        .add(Subscriber::new("numbers", "late").handle(handle))
        .await
        .unwrap_err();
    assert!(again.to_string().contains("running already"), "{again}");
    assert_eq!(handle_of.remove("numbers", "late"), 1);
    for _ in 0..1000 {
        if brokers
            .default_broker()
            .groups("numbers")
            .await
            .unwrap()
            .is_empty()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        brokers
            .default_broker()
            .groups("numbers")
            .await
            .unwrap()
            .is_empty(),
        "its group goes with it"
    );
    assert_eq!(engine.stop().await.unwrap().settled, 3);
}

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

async fn a_short_lived_stream_goes_with_its_subscriber(brokers: Brokers) {
    async fn number(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
        seen.push(number);
    }
    let seen = Seen::<u64>::default();
    publish_numbers(&brokers, "kept", 0..1, 0).await;
    publish_numbers(&brokers, "replies.7", 0..3, 0).await;
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("replies.7", "asker")
                .handle(number)
                .remove_stream_at_end(),
        )
        .subscribe(
            Subscriber::new("kept", "brief")
                .handle(number)
                .remove_group_at_end(),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    until("all are handled", || seen.len() == 4).await;
    engine.stop().await.unwrap();
    let broker = brokers.default_broker();
    let streams: Vec<_> = broker
        .streams()
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(streams, ["kept"]);
    assert!(broker.groups("kept").await.unwrap().is_empty());
    brokers.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_stream_goes_with_its_subscriber_inline() {
    a_short_lived_stream_goes_with_its_subscriber(inline()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_stream_goes_with_its_subscriber_on_redis() {
    let (brokers, _server) = redis();
    a_short_lived_stream_goes_with_its_subscriber(brokers).await;
}
