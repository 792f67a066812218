//! Payloads of every kind and size.

use std::time::{Duration, Instant};

use broker_core::{Broker, Capabilities, ErrorKind, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Reader, Trial, ensure, ensure_eq, refused, same};

const READ_BACK: Gate = Gate::needs(Capabilities::BASIC_PUBSUB).proves(Capabilities::PUBLISH);

check!(
    round_trip,
    "pubsub.round_trip",
    Quick,
    Gate::needs(Capabilities::BASIC_PUBSUB),
    "Payload, headers, key, id, kind and content type come as they were published, byte for byte."
);

async fn round_trip(t: &Trial) -> CheckResult {
    let mut random = fastrand::Rng::with_seed(t.seed());
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let mut published = std::collections::BTreeMap::new();
    for _ in 0..100 {
        let message = any_message(&mut random);
        let id = broker.publish(&stream, message.clone()).await?;
        published.insert(id.to_string(), message);
    }
    for it in reader.take(published.len()).await? {
        let Some(message) = published.remove(&it.id.to_string()) else {
            return Err(crate::Stop::failed(format!(
                "an id that was not published, or came twice: {}",
                it.id
            )));
        };
        same(&it.message, &message, "a message")?;
    }
    Ok(())
}

/// A message in which each part is there or not, by chance.
fn any_message(random: &mut fastrand::Rng) -> Message {
    let bytes = |random: &mut fastrand::Rng, from: usize, to: usize| {
        let len = random.usize(from..to);
        std::iter::repeat_with(|| random.u8(..))
            .take(len)
            .collect::<Vec<_>>()
    };
    let mut message = Message::new(bytes(random, 0, 300));
    if random.bool() {
        message = message.key(bytes(random, 1, 20));
    }
    for number in 0..random.usize(0..4) {
        let value = bytes(random, 0, 20);
        message = message.header(format!("Header-{number}"), value);
    }
    if random.bool() {
        message = message.id(format!("id-{}", random.u32(..)));
    }
    if random.bool() {
        message = message.kind("user.registered");
    }
    if random.bool() {
        message = message.content_type("application/octet-stream");
    }
    message
}

async fn there_and_back(broker: &Broker, stream: &str, reader: &mut Reader, message: Message) -> CheckResult {
    broker.publish(stream, message.clone()).await?;
    for it in reader.take(1).await? {
        same(&it.message, &message, "the message")?;
    }
    Ok(())
}

check!(
    empty,
    "payload.empty",
    Quick,
    READ_BACK,
    "Zero bytes are a message, with or without key and headers."
);

async fn empty(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let nothing = || Message::new(Vec::new());
    there_and_back(&broker, &stream, &mut reader, nothing()).await?;
    there_and_back(&broker, &stream, &mut reader, nothing().key("k")).await?;
    there_and_back(&broker, &stream, &mut reader, nothing().header("h", "")).await?;
    there_and_back(&broker, &stream, &mut reader, Message::text("{}")).await?;
    there_and_back(&broker, &stream, &mut reader, Message::text("null")).await?;
    reader.nothing().await
}

check!(
    bad_utf8,
    "payload.bad_utf8",
    Quick,
    READ_BACK,
    "All byte values, lone surrogates, NUL and line ends come as they were, in payload and key."
);

async fn bad_utf8(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for bytes in [
        all.as_slice(),
        b"\xed\xa0\x80",
        b"\0",
        b"\r\n\r\n",
        b"\xff\xfe",
        b"$-1\r\n",
        b"\x1b[0m",
    ] {
        there_and_back(&broker, &stream, &mut reader, Message::new(bytes.to_vec())).await?;
        there_and_back(
            &broker,
            &stream,
            &mut reader,
            Message::new("x").key(bytes.to_vec()),
        )
        .await?;
    }
    Ok(())
}

check!(
    large_within_limit,
    "payload.large_within_limit",
    Full,
    READ_BACK,
    "A payload of just the limit comes as it was, and small messages after it are as fast as before."
);

async fn large_within_limit(t: &Trial) -> CheckResult {
    const SMALL: usize = 200;
    let limit = t.limits().max_payload.unwrap_or(8 * 1024 * 1024);
    let (broker, stream) = (
        t.broker_with(Options::new().max_payload(limit)).await?,
        t.stream("a"),
    );
    let mut reader = t.reader(&broker, &stream).await?;
    let before = small(&broker, &stream, &mut reader, SMALL).await?;
    for _ in 0..3 {
        let payload: Vec<u8> = (0..limit)
            .map(|at| u8::try_from(at % 251).unwrap_or_default())
            .collect();
        there_and_back(&broker, &stream, &mut reader, Message::new(payload)).await?;
    }
    let after = small(&broker, &stream, &mut reader, SMALL).await?;
    // Below a fifth of a second the machine's own hiccups decide.
    let bound = (before * 10).max(Duration::from_millis(200));
    ensure!(
        after < t.at_most(bound),
        "{SMALL} small messages took {before:?} before and {after:?} after"
    );
    Ok(())
}

async fn small(broker: &Broker, stream: &str, reader: &mut Reader, count: usize) -> CheckResult<Duration> {
    let start = Instant::now();
    for _ in 0..count {
        broker.publish(stream, Message::text("small")).await?;
    }
    reader.take(count).await?;
    Ok(start.elapsed())
}

check!(
    oversize_refused,
    "payload.oversize_refused",
    Quick,
    READ_BACK,
    "One byte over the limit is refused with size and limit, nothing of it is stored, and the broker goes on."
);

async fn oversize_refused(t: &Trial) -> CheckResult {
    const LIMIT: usize = 1000;
    let (broker, stream) = (
        t.broker_with(Options::new().max_payload(LIMIT)).await?,
        t.stream("a"),
    );
    let mut reader = t.reader(&broker, &stream).await?;
    there_and_back(&broker, &stream, &mut reader, Message::new(vec![b'x'; LIMIT])).await?;
    let publisher = broker.publisher(&stream).build().await?;
    let too_large = || Message::new(vec![b'x'; LIMIT + 1]);
    for answer in [
        broker.publish(&stream, too_large()).await,
        publisher.send(too_large()).await,
    ] {
        let error = refused(answer, ErrorKind::TooLarge, "one byte over the limit")?;
        let facts: Vec<_> = error.context().collect();
        ensure!(
            facts.contains(&("size", "1001")),
            "the size is missing in: {error}"
        );
        ensure!(
            facts.contains(&("max", "1000")),
            "the limit is missing in: {error}"
        );
    }
    reader.nothing().await?;
    there_and_back(&broker, &stream, &mut reader, Message::text("after")).await?;
    ensure_eq!(
        broker.health_stats().await.counts.publish_failed,
        2,
        "failures counted by publish"
    );
    Ok(())
}

check!(
    server_limit,
    "payload.server_limit",
    Quick,
    READ_BACK,
    "What is over the server's own limit is refused as too large, whatever the settings allow, and the broker goes on."
);

async fn server_limit(t: &Trial) -> CheckResult {
    let Some(limit) = t.limits().max_payload else {
        return Err(crate::Stop::NotClaimed(
            "the harness tells no limit of the server".to_owned(),
        ));
    };
    let (broker, stream) = (
        t.broker_with(Options::new().max_payload(limit * 2)).await?,
        t.stream("a"),
    );
    let mut reader = t.reader(&broker, &stream).await?;
    let answer = broker.publish(&stream, Message::new(vec![b'x'; limit + 1])).await;
    refused(answer, ErrorKind::TooLarge, "one byte over the server's limit")?;
    there_and_back(&broker, &stream, &mut reader, Message::text("after")).await?;
    reader.nothing().await
}
