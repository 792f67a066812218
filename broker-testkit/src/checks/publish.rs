//! What publishing answers.

use std::collections::BTreeSet;
use std::time::Duration;

use broker_core::{Capabilities, Message};
use tokio::time::Instant;

use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, ensure, ensure_eq, within};

const PUBLISH: Gate = Gate::needs(Capabilities::PUBLISH);
/// What is read in order to look at what was published.
const READ_BACK: Gate = Gate::needs(Capabilities::BASIC_PUBSUB);

check!(
    publish_returns_id,
    "pubsub.publish_returns_id",
    Quick,
    PUBLISH,
    "Each publish answers an id of its own, from concurrent publishers too."
);

async fn publish_returns_id(t: &Trial) -> CheckResult {
    const PUBLISHERS: usize = 4;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let each = t.scale(100, 10_000) / PUBLISHERS;
    let tasks: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (broker, stream) = (broker.clone(), stream.clone());
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..each {
                    ids.push(broker.publish(&stream, Message::text("x")).await?);
                }
                Ok::<_, broker_core::Error>(ids)
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        for id in task.await.map_err(Stop::failed)?? {
            ensure!(!id.to_string().is_empty(), "an id is empty");
            ensure!(ids.insert(id.to_string()), "the id {id} came twice");
        }
    }
    ensure_eq!(ids.len(), each * PUBLISHERS, "ids");
    Ok(())
}

check!(
    id_matches_read,
    "pubsub.id_matches_read",
    Quick,
    READ_BACK,
    "The ids that are read are the ids that publishing answered, each with its own message."
);

async fn id_matches_read(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let mut published = BTreeSet::new();
    for number in 0..50 {
        let text = number.to_string();
        let id = broker.publish(&stream, Message::text(text.clone())).await?;
        published.insert((id.to_string(), text));
    }
    let received = reader.take(published.len()).await?;
    let read: BTreeSet<_> = received
        .iter()
        .map(|it| {
            (
                it.id.to_string(),
                String::from_utf8_lossy(it.message.payload()).into_owned(),
            )
        })
        .collect();
    let missing: Vec<_> = published.difference(&read).collect();
    ensure!(
        missing.is_empty(),
        "published and not read with that id: {missing:?}"
    );
    Ok(())
}

check!(
    input_unchanged,
    "pubsub.input_unchanged",
    Quick,
    PUBLISH,
    "Publishing changes nothing of the message that the caller keeps, of which it shares the bytes."
);

async fn input_unchanged(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let make = || {
        Message::new(vec![7_u8; 4096])
            .key("k")
            .header("h", "v")
            .id("i")
            .kind("k")
            .content_type("c")
    };
    let kept = make();
    broker.publish(&stream, kept.clone()).await?;
    ensure_eq!(kept, make(), "the caller's message after publish");
    broker
        .publish_batch(&stream, vec![kept.clone(), kept.clone()])
        .await?
        .into_ids()?;
    ensure_eq!(kept, make(), "the caller's message after publish_batch");
    Ok(())
}

check!(
    concurrent_publishers,
    "pubsub.concurrent_publishers",
    Quick,
    READ_BACK,
    "What many publishers publish at once is all there, each in its own order, and nothing else."
);

async fn concurrent_publishers(t: &Trial) -> CheckResult {
    let (publishers, each) = t.scale((10, 50), (50, 100));
    let (broker, stream, ledger) = (t.broker().await?, t.stream("a"), std::sync::Arc::new(t.ledger()));
    let mut reader = t.reader(&broker, &stream).await?;
    let tasks: Vec<_> = (0..publishers)
        .map(|publisher| {
            let (broker, stream, ledger) = (broker.clone(), stream.clone(), std::sync::Arc::clone(&ledger));
            tokio::spawn(async move {
                let send = broker.publisher(&stream).build().await?;
                for _ in 0..each {
                    let message = ledger.message_of(publisher, None, 0);
                    let published = send.send_batch(vec![message.clone()]).await?;
                    ledger.published(&[message], &published);
                }
                Ok::<_, broker_core::Error>(())
            })
        })
        .collect();
    for received in reader.take(publishers as usize * each).await? {
        ledger.delivered("reader", &received.message);
    }
    for task in tasks {
        task.await.map_err(Stop::failed)??;
    }
    reader.nothing().await?;
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    flush,
    "pubsub.flush",
    Quick,
    READ_BACK,
    "A flush sends what lingers: after it, what was answered Ok is visible to another client."
);

async fn flush(t: &Trial) -> CheckResult {
    const LINGER: Duration = Duration::from_secs(20);
    let (broker, other, stream) = (t.broker().await?, t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&other, &stream).await?;
    let publisher = broker.publisher(&stream).linger(LINGER).build().await?;
    let sends: Vec<_> = (0..50)
        .map(|number| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.send(Message::text(number.to_string())).await })
        })
        .collect();
    let start = Instant::now();
    t.eventually("every send is answered by flushing", || async {
        publisher.flush().await?;
        Ok(sends.iter().all(tokio::task::JoinHandle::is_finished))
    })
    .await?;
    ensure!(start.elapsed() < LINGER, "the flush waited for the linger");
    for send in sends {
        send.await.map_err(Stop::failed)??;
    }
    reader.take(50).await?;
    within(Duration::from_secs(1), "a flush of nothing", publisher.flush()).await??;
    reader.nothing().await
}

check!(
    delayed,
    "pubsub.delayed",
    Quick,
    Gate::needs(Capabilities::DELAYED_DELIVERY.union(Capabilities::BASIC_PUBSUB))
        .proves(Capabilities::DELAYED_DELIVERY),
    "A delayed message comes not before its delay and soon after; others do not wait for it."
);

async fn delayed(t: &Trial) -> CheckResult {
    // Long enough that a message that does not wait comes within it on a busy machine, too.
    let delay = t.scale(Duration::from_millis(1_500), Duration::from_secs(3));
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let start = Instant::now();
    broker
        .publish(&stream, Message::text("late").delay(delay))
        .await?;
    broker.publish(&stream, Message::text("now")).await?;
    let first = reader.take(1).await?;
    ensure_eq!(payloads(&first), ["now"], "the first to come");
    ensure!(
        start.elapsed() < delay,
        "the undelayed message waited for {:?}",
        start.elapsed()
    );
    let second = reader.take(1).await?;
    let took = start.elapsed();
    ensure_eq!(payloads(&second), ["late"], "the second to come");
    ensure_eq!(second.first().map(|it| it.attempt), Some(1), "its attempt");
    ensure!(
        took >= delay,
        "it came after {took:?}, before its delay of {delay:?}"
    );
    let limit = delay + t.at_most((delay / 2).max(Duration::from_secs(1)));
    ensure!(
        took <= limit,
        "it came after {took:?}, too late for a delay of {delay:?}"
    );
    Ok(())
}

check!(
    idempotent,
    "pubsub.idempotent",
    Quick,
    Gate::needs(Capabilities::IDEMPOTENT_PUBLISH.union(Capabilities::BASIC_PUBSUB))
        .proves(Capabilities::IDEMPOTENT_PUBLISH),
    "Publishing one message id twice stores it once, also within a batch; other ids are stored."
);

async fn idempotent(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let message = |id: &'static str| Message::text(id).id(id);
    let first = broker.publish(&stream, message("one")).await?;
    let again = broker.publish(&stream, message("one")).await?;
    ensure_eq!(again, first, "the id of the repeated publish");
    broker
        .publish_batch(&stream, vec![message("two"), message("two"), message("one")])
        .await?
        .into_ids()?;
    broker.publish(&stream, Message::text("without an id")).await?;
    broker.publish(&stream, Message::text("without an id")).await?;
    let mut received = payloads(&reader.take(4).await?);
    received.sort();
    ensure_eq!(
        received,
        ["one", "two", "without an id", "without an id"],
        "what is stored"
    );
    reader.nothing().await
}

/// The payloads as text.
pub(super) fn payloads(received: &[crate::Received]) -> Vec<String> {
    received
        .iter()
        .map(|it| String::from_utf8_lossy(it.message.payload()).into_owned())
        .collect()
}
