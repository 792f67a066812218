//! Metadata beside the payload.

use broker_core::{Capabilities, ErrorKind, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Trial, ensure, ensure_eq, refused, same};

const READ_BACK: Gate = Gate::needs(Capabilities::BASIC_PUBSUB).proves(Capabilities::PUBLISH);

check!(
    round_trip,
    "headers.round_trip",
    Quick,
    READ_BACK,
    "Two dozen headers with odd names and values come in their order; a repeated name has its last value."
);

async fn round_trip(t: &Trial) -> CheckResult {
    let names = [
        "plain",
        "UPPER",
        "upper",
        "with space",
        "a/b",
        "../up",
        "quo\"te",
        "apo'strophe",
        "co:lon",
        "se;mi",
        "e=q",
        "co,mma",
        "per%25cent",
        "am&p",
        "back\\slash",
        "new\nline",
        "re\r\nturn",
        "t\tab",
        "naïve",
        "日本語",
        "🦀",
        "{}",
        "content-type",
        "id",
    ];
    let ascii: String = (0..=127_u8).map(char::from).collect();
    let mut message = Message::text("x")
        .header("repeated", "first")
        .header("ascii", ascii)
        .header("empty", "");
    for (number, name) in names.into_iter().enumerate() {
        message = message.header(name, format!("value {number} of {name}"));
    }
    message = message.header("repeated", "last");
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    broker.publish(&stream, message.clone()).await?;
    for it in reader.take(1).await? {
        same(&it.message, &message, "the message")?;
        ensure_eq!(
            it.message.headers().get_str("repeated")?,
            Some("last"),
            "the repeated header"
        );
        ensure_eq!(it.message.headers().len(), names.len() + 3, "headers");
    }
    Ok(())
}

check!(
    bad_utf8,
    "headers.bad_utf8",
    Quick,
    READ_BACK,
    "A binary header value comes as it was, or is refused as an invalid message; it is never changed in silence."
);

async fn bad_utf8(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for value in [all.as_slice(), b"\xff", b"\0", b"\xed\xa0\x80"] {
        let message = Message::text("x").header("binary", value.to_vec());
        match broker.publish(&stream, message.clone()).await {
            Ok(_) => {
                for it in reader.take(1).await? {
                    same(&it.message, &message, "the message")?;
                }
            }
            refusal => {
                refused(refusal, ErrorKind::InvalidMessage, "a binary header")?;
                reader.nothing().await?;
            }
        }
    }
    Ok(())
}

check!(
    reserved,
    "headers.reserved",
    Quick,
    READ_BACK,
    "The framework's own header names can't be set by the user, nor are its headers shown as the user's."
);

async fn reserved(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    for name in ["broker-id", "broker-attempt", "broker-"] {
        let answer = broker
            .publish(&stream, Message::text("x").header(name, "mine"))
            .await;
        refused(answer, ErrorKind::InvalidMessage, name)?;
    }
    let answer = broker
        .publish(&stream, Message::text("x").header("", "nameless"))
        .await;
    refused(answer, ErrorKind::InvalidMessage, "an empty name")?;
    let heavy = Message::text("x").header("heavy", vec![b'x'; 64 * 1024]);
    refused(
        broker.publish(&stream, heavy).await,
        ErrorKind::TooLarge,
        "headers over 64 KiB",
    )?;
    reader.nothing().await?;
    broker
        .publish(
            &stream,
            Message::text("x").id("i").kind("k").content_type("c").key("k"),
        )
        .await?;
    for it in reader.take(1).await? {
        ensure!(
            it.message.headers().is_empty(),
            "headers nobody set: {:?}",
            it.message.headers()
        );
    }
    Ok(())
}

check!(
    trace_context,
    "headers.trace_context",
    Quick,
    READ_BACK,
    "traceparent and tracestate arrive unchanged."
);

async fn trace_context(t: &Trial) -> CheckResult {
    let message = Message::text("x")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        .header("baggage", "userId=alice,serverNode=DF%2028");
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    broker.publish(&stream, message.clone()).await?;
    for it in reader.take(1).await? {
        same(&it.message, &message, "the message")?;
    }
    Ok(())
}
