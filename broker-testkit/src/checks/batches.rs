//! Publishing many at once.

use std::collections::BTreeMap;

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
