//! Who sees what is published.

use std::time::Duration;

use broker_core::{Broker, Capabilities, ErrorKind, Message, Subscription};

use super::publish::payloads;
use crate::check::check;
use crate::{CheckResult, Gate, OrNotClaimed, Reader, Trial, ensure, ensure_eq, refused};

const READ_BACK: Gate = Gate::needs(Capabilities::BASIC_PUBSUB).proves(Capabilities::SUBSCRIBE);

check!(
    topic_isolation,
    "pubsub.topic_isolation",
    Quick,
    READ_BACK,
    "Streams do not see each other's messages, also where one name begins with the other or differs in case."
);

async fn topic_isolation(t: &Trial) -> CheckResult {
    const NAMES: [&str; 10] = [
        "a", "a:b", "a.b", "a-b", "a_b", "ab", "A", "a:dlq", "a:0", "a.dead",
    ];
    let broker = t.broker().await?;
    let mut readers = Vec::new();
    for name in NAMES {
        readers.push(t.reader(&broker, &t.stream(name)).await?);
    }
    for name in NAMES {
        broker.publish(t.stream(name), Message::text(name)).await?;
    }
    for (name, reader) in NAMES.iter().zip(&mut readers) {
        ensure_eq!(payloads(&reader.take(1).await?), [*name], "what came on `{name}`");
    }
    tokio::time::sleep(t.quiet()).await;
    for (name, reader) in NAMES.iter().zip(&mut readers) {
        let more = reader.next_within(Duration::from_millis(1)).await?;
        ensure!(more.is_none(), "more than its own came on `{name}`: {more:?}");
    }
    Ok(())
}

check!(
    fanout,
    "pubsub.fanout",
    Quick,
    READ_BACK,
    "Each of five independent subscribers gets all messages, in the order of their one publisher."
);

async fn fanout(t: &Trial) -> CheckResult {
    const MESSAGES: usize = 100;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut readers = Vec::new();
    for number in 0..5 {
        readers.push(t.reader_of(independent(t, &broker, &stream, number).await?));
    }
    let ordered = t.has(Capabilities::MESSAGE_ORDERING) || !t.has(Capabilities::CONSUMER_GROUPS);
    let sent: Vec<_> = (0..MESSAGES).map(|number| format!("{number:03}")).collect();
    for text in &sent {
        broker
            .publish(&stream, Message::text(text.clone()).key("k"))
            .await?;
    }
    for (number, reader) in readers.iter_mut().enumerate() {
        let mut got = payloads(&reader.take(MESSAGES).await?);
        if !ordered {
            got.sort();
        }
        ensure_eq!(got, sent, "what subscriber {number} got");
    }
    Ok(())
}

/// A subscriber that shares with nobody: an independent one where the adapter has them, else a group of its own.
async fn independent(t: &Trial, broker: &Broker, stream: &str, number: usize) -> CheckResult<Subscription> {
    match broker.listen(stream).start().await {
        Err(error) if error.kind() == ErrorKind::Unsupported && t.has(Capabilities::CONSUMER_GROUPS) => {
            Ok(broker
                .subscribe(stream, t.group(&format!("g{number}")))
                .start()
                .await?)
        }
        answer => Ok(answer?),
    }
}

check!(
    listen_from_now,
    "pubsub.listen_from_now",
    Quick,
    READ_BACK,
    "A listener sees all that is published after its start returned, and nothing from before; it settles nothing."
);

async fn listen_from_now(t: &Trial) -> CheckResult {
    let (broker, other, stream) = (t.broker().await?, t.broker().await?, t.stream("a"));
    let listening = other.listen(&stream).start().await;
    let mut early = t.reader_of(listening.or_not_claimed("independent readers")?);
    broker.publish(&stream, Message::text("before")).await?;
    // A broker of several nodes may still be spreading it: where it has come, it is over.
    early.take(1).await?;
    drop(early.into_inner().close().await);
    for round in 0..5 {
        let listening = other.listen(&stream).start().await;
        let mut reader = t.reader_of(listening.or_not_claimed("independent readers")?);
        let texts: Vec<_> = (0..20).map(|number| format!("{round}/{number}")).collect();
        for text in &texts {
            broker
                .publish(&stream, Message::text(text.clone()).key("k"))
                .await?;
        }
        ensure_eq!(
            payloads(&reader.take(texts.len()).await?),
            texts,
            "what listener {round} saw"
        );
        reader.nothing().await?;
    }
    let mut reader = t.reader_of(other.listen(&stream).start().await?);
    broker.publish(&stream, Message::text("last")).await?;
    if let Some(delivery) = reader.next_within(t.in_time()).await? {
        refused(
            delivery.ack().await,
            ErrorKind::Unsupported,
            "an ack by a listener",
        )?;
        refused(
            delivery.nack().await,
            ErrorKind::Unsupported,
            "a nack by a listener",
        )?;
    }
    Ok(())
}

check!(
    no_history_without_replay,
    "pubsub.no_history_without_replay",
    Quick,
    READ_BACK.without(Capabilities::REPLAY.union(Capabilities::CONSUMER_GROUPS)),
    "Without history a late subscriber gets exactly what is published after its subscribe returned."
);

async fn no_history_without_replay(t: &Trial) -> CheckResult {
    let (broker, other, stream) = (t.broker().await?, t.broker().await?, t.stream("a"));
    let mut early = t.reader_of(other.listen(&stream).start().await?);
    broker.publish(&stream, Message::text("early")).await?;
    ensure_eq!(
        payloads(&early.take(1).await?),
        ["early"],
        "what the early subscriber got"
    );
    let mut late = t.reader_of(other.listen(&stream).start().await?);
    broker.publish(&stream, Message::text("late")).await?;
    ensure_eq!(
        payloads(&late.take(1).await?),
        ["late"],
        "what the late subscriber got"
    );
    late.nothing().await
}

check!(
    pattern,
    "pubsub.pattern",
    Quick,
    Gate::needs(Capabilities::PATTERN_SUBSCRIPTION.union(Capabilities::PUBLISH))
        .proves(Capabilities::PATTERN_SUBSCRIPTION),
    "A pattern covers each stream that matches, those made later included, and tells the true stream of each message."
);

async fn pattern(t: &Trial) -> CheckResult {
    const MATCHING: [&str; 3] = ["user.a", "user.b", "user.made-later"];
    const OTHERS: [&str; 4] = ["users.a", "user", "user.a.b", "xuser.a"];
    let (broker, other) = (t.broker().await?, t.broker().await?);
    let mut early = t.reader_of(other.listen(t.stream("user.a")).start().await?);
    broker
        .publish(t.stream("user.a"), Message::text("before"))
        .await?;
    // A broker of several nodes may still be spreading it: it has to have come where the pattern will listen.
    early.take(1).await?;
    drop(early.into_inner().close().await);
    let listening = other.listen(t.group("user.*")).start().await?;
    let mut reader = t.reader_of(listening);
    for name in MATCHING.into_iter().chain(OTHERS) {
        broker.publish(t.stream(name), Message::text(name)).await?;
    }
    let received = reader.take(MATCHING.len()).await?;
    for it in &received {
        let text = String::from_utf8_lossy(it.message.payload()).into_owned();
        ensure_eq!(
            it.stream,
            t.stream(&text),
            "the stream that `{text}` is told to come from"
        );
    }
    let mut got = payloads(&received);
    got.sort();
    ensure_eq!(got, MATCHING, "what the pattern matched");
    reader.nothing().await?;
    let reader: Reader = t.reader_of(other.listen(t.group("none.*")).start().await?);
    drop(reader.into_inner().close().await);
    Ok(())
}
