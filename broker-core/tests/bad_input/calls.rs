//! Calls: names and messages that could not be sent.

use std::time::Duration;

use broker_core::base::TrimTo;
use broker_core::broker::NackOptions;
use broker_core::config::BrokerConfig;
use broker_core::{Headers, Message, Receipt};

use crate::support::{CLAIMS, Script, broker, broker_with, settings};

#[tokio::test]
async fn names() {
    let (broker, script) = broker();
    let long = "x".repeat(201);
    let receipt = Receipt::default();
    let message = || Message::text("m");
    for (answer, line) in [
        (
            broker.publish("", message()).await.map(|_| ()),
            "publish: invalid name: stream name is empty; give it at least one character",
        ),
        (
            broker.publish(long.as_str(), message()).await.map(|_| ()),
            "publish: invalid name: stream name has 201 bytes; at most 200 are allowed, shorten it",
        ),
        (
            broker.publisher("a b").build().await.map(|_| ()),
            "publish: invalid name: stream name `a b` has the character ' '; letters, digits and `. _ - :` are allowed",
        ),
        (
            broker.read("s", "", 1).await.map(|_| ()),
            "read: invalid name: group name is empty; give it at least one character",
        ),
        (
            broker.subscribe("s", "..").start().await.map(|_| ()),
            "subscribe: invalid name: group name `..` is a folder's name; choose another",
        ),
        (
            broker
                .subscribe("s", "g")
                .consumer("a\nb")
                .start()
                .await
                .map(|_| ()),
            r"subscribe: invalid name: consumer name `a\nb` has the character '\n'; letters, digits and `. _ - :` are allowed",
        ),
        (
            broker.listen("user. *").start().await.map(|_| ()),
            "listen: invalid name: pattern `user. *`: stream name `user. x` has the character ' '; letters, digits and `. _ - :` are allowed",
        ),
        (
            broker.ack("s/t", "g", receipt).await.map(|_| ()),
            "ack: invalid name: stream name `s/t` has the character '/'; letters, digits and `. _ - :` are allowed",
        ),
        (
            broker
                .nack("s", "g*", receipt, NackOptions::new())
                .await
                .map(|_| ()),
            "nack: invalid name: group name `g*` has the character '*'; letters, digits and `. _ - :` are allowed",
        ),
        (
            broker.trim("", TrimTo::Length(0), true).await.map(|_| ()),
            "trim: invalid name: stream name is empty; give it at least one character",
        ),
    ] {
        assert_eq!(answer.unwrap_err().to_string(), line);
    }
    assert_eq!(script.state().calls.len(), 0, "nothing was asked of the adapter");
}

#[tokio::test]
async fn messages() {
    let small = BrokerConfig {
        max_payload: 10,
        ..settings()
    };
    let (broker, script) = broker_with(Script::new(CLAIMS), small);
    let publisher = broker.publisher("s").build().await.unwrap();
    let message = || Message::text("m");
    let long = || "x".repeat(65_537);
    for (message, line) in [
        (
            Message::new(vec![0; 11]),
            "too large: the payload has 11 bytes; at most 10 are allowed (max_payload) (size=11, max=10)",
        ),
        (
            message().header("", "v"),
            "invalid message: a header has an empty name; name it",
        ),
        (
            message().header("broker-id", "v"),
            "invalid message: header `broker-id` starts with `broker-`, which is reserved; choose another name",
        ),
        (
            message().header("h", long()),
            "too large: the headers have 65538 bytes; at most 65536 are allowed, put more into the payload",
        ),
        (
            message().key(long()),
            "too large: the key has 65537 bytes; at most 65536 are allowed, put more into the payload",
        ),
        (
            message().kind(long()),
            "too large: the kind has 65537 bytes; at most 65536 are allowed, put more into the payload",
        ),
        (
            message().delay(Duration::from_secs(1)),
            "unsupported: DELAYED_DELIVERY is not among its capabilities; choose a provider that has it",
        ),
    ] {
        let line = format!("publish (script): {line}");
        assert_eq!(
            broker
                .publish("s", message.clone())
                .await
                .unwrap_err()
                .to_string(),
            line
        );
        assert_eq!(publisher.send(message).await.unwrap_err().to_string(), line);
    }
    assert_eq!(script.state().calls.len(), 0, "nothing was asked of the adapter");
    publisher.send(message()).await.unwrap();

    let headers: Headers = [("raw", &b"ok\xff"[..])].into_iter().collect();
    assert_eq!(
        headers.get_str("raw").unwrap_err().to_string(),
        "invalid message: header `raw` is not UTF-8 from byte 2; read it as bytes"
    );
    assert_eq!(
        Message::text("x").to_json::<u8>().unwrap_err().to_string(),
        "invalid message: the payload is not the expected JSON: expected value at line 1 column 1"
    );
}
