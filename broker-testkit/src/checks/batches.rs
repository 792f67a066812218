//! Publishing many at once.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::{Capabilities, ErrorKind, Message, Outcome};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq, refused};

const PUBLISH: Gate = Gate::needs(Capabilities::BASIC_PUBSUB).proves(Capabilities::PUBLISH);

check!(
    batch_publish,
    "pubsub.batch_publish",
    Quick,
    PUBLISH,
    "A batch answers one id per message in their order, also beyond what one native call takes; an empty one, none."
);

async fn batch_publish(t: &Trial) -> CheckResult {
    let count = t.limits().max_batch * 2 + 1;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let empty = broker.publish_batch(&stream, Vec::new()).await?;
    ensure_eq!(empty.len(), 0, "outcomes of an empty batch");
    let messages = (0..count)
        .map(|number| Message::text(number.to_string()))
        .collect();
    let published = broker.publish_batch(&stream, messages).await?;
    ensure_eq!(published.len(), count, "outcomes");
    ensure!(
        published.all_stored(),
        "{} of {count} are stored",
        published.stored()
    );
    let ids = published.into_ids()?;
    let found: BTreeMap<_, _> = reader
        .take(count)
        .await?
        .into_iter()
        .map(|it| {
            (
                it.id.to_string(),
                String::from_utf8_lossy(it.message.payload()).into_owned(),
            )
        })
        .collect();
    ensure_eq!(found.len(), count, "distinct ids read");
    for (number, id) in ids.iter().enumerate() {
        let payload = found.get(&id.to_string()).map(String::as_str);
        ensure_eq!(
            payload,
            Some(number.to_string().as_str()),
            "the message whose id was answered at {number}"
        );
    }
    Ok(())
}

check!(
    batch_partial_failure,
    "pubsub.batch_partial_failure",
    Quick,
    PUBLISH,
    "A batch with invalid messages in it tells for each what became of it, and stores exactly the valid ones."
);

async fn batch_partial_failure(t: &Trial) -> CheckResult {
    let broker = t.broker_with(Options::new().max_payload(100)).await?;
    let stream = t.stream("a");
    let mut reader = t.reader(&broker, &stream).await?;
    let messages = vec![
        Message::text("0"),
        Message::new(vec![b'x'; 101]),
        Message::text("2"),
        Message::text("3").header("broker-id", "mine"),
        Message::text("4"),
    ];
    let outcomes = broker
        .publish_batch(&stream, messages.clone())
        .await?
        .into_outcomes();
    check_outcomes(&outcomes)?;
    let publisher = broker.publisher(&stream).build().await?;
    check_outcomes(&publisher.send_batch(messages).await?.into_outcomes())?;
    let mut stored = super::publish::payloads(&reader.take(6).await?);
    stored.sort();
    ensure_eq!(stored, ["0", "0", "2", "2", "4", "4"], "what is stored");
    reader.nothing().await
}

fn check_outcomes(outcomes: &[Outcome]) -> CheckResult {
    let [
        Outcome::Stored(_),
        large,
        Outcome::Stored(_),
        reserved,
        Outcome::Stored(_),
    ] = outcomes
    else {
        return Err(Stop::failed(format!(
            "not Stored, _, Stored, _, Stored: {outcomes:?}"
        )));
    };
    for (outcome, kind) in [
        (large, ErrorKind::TooLarge),
        (reserved, ErrorKind::InvalidMessage),
    ] {
        ensure!(matches!(outcome, Outcome::NotSent(_)), "not NotSent: {outcome:?}");
        refused(
            outcome.clone().into_result(),
            kind,
            "the invalid message's outcome",
        )?;
    }
    Ok(())
}

check!(
    publisher_ids,
    "pubsub.publisher_ids",
    Quick,
    PUBLISH,
    "Messages of many tasks that travel together are each answered with their own id, and keep each task's order."
);

async fn publisher_ids(t: &Trial) -> CheckResult {
    const TASKS: usize = 20;
    const EACH: usize = 10;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut reader = t.reader(&broker, &stream).await?;
    let publisher = broker
        .publisher(&stream)
        .linger(Duration::from_millis(2))
        .max_batch(7)
        .buffer(16)
        .build()
        .await?;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for number in 0..EACH {
                    let text = format!("{task}/{number}");
                    let message = Message::text(text.clone()).key("k");
                    answered.push((publisher.send(message).await?.to_string(), text));
                }
                Ok::<_, broker_core::Error>(answered)
            })
        })
        .collect();
    let mut answered = BTreeMap::new();
    for task in tasks {
        answered.extend(task.await.map_err(Stop::failed)??);
    }
    ensure_eq!(answered.len(), TASKS * EACH, "distinct ids answered");
    let mut next = [0; TASKS];
    for it in reader.take(TASKS * EACH).await? {
        let text = String::from_utf8_lossy(it.message.payload()).into_owned();
        ensure_eq!(
            answered.get(&it.id.to_string()),
            Some(&text),
            "the message of id {}",
            it.id
        );
        let Some((task, number)) = text.split_once('/') else {
            return Err(Stop::failed(format!("a foreign message: {text}")));
        };
        let next = task.parse::<usize>().ok().and_then(|task| next.get_mut(task));
        if let (Some(next), true) = (next, t.has(Capabilities::MESSAGE_ORDERING)) {
            ensure_eq!(number, next.to_string(), "the next message of task {task}");
            *next += 1;
        }
    }
    reader.nothing().await
}
