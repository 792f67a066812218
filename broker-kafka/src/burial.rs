//! Putting a message with the dead letters: written there first, settled at its source then.

use std::sync::Arc;
use std::time::SystemTime;

use broker_core::base::{Disposition, MessageStore as _};
use broker_core::{
    Failure, GroupName, Message, Receipt, ReceiptRun, Result, Settled, Settlements, StreamName,
};
use broker_window::{Purpose, Who};

use crate::client::{Client, lock};
use crate::codec;
use crate::consumer::Consumer;
use crate::error;
use crate::names;
use crate::producer::{Handing, Producer, Record};
use crate::session::{Peeked, Session};
use crate::topic::Make;

/// The message's own key; the record's is the id it had at its source.
pub(crate) const KEY: &str = "broker-key";
/// Why it was given up.
pub(crate) const REASON: &str = "broker-dlq-reason";
/// The errors below that, as a JSON list.
pub(crate) const CHAIN: &str = "broker-dlq-chain";
/// How often it was delivered.
pub(crate) const ATTEMPTS: &str = "broker-dlq-attempts";
/// When it failed for the first time, in milliseconds since 1970.
pub(crate) const FIRST: &str = "broker-dlq-first-failed";
/// The consumer that saw the last failure.
pub(crate) const CONSUMER: &str = "broker-dlq-consumer";
/// The stream it came from, for other programs.
pub(crate) const STREAM: &str = "broker-dlq-stream";
/// The group that gave up, for other programs.
pub(crate) const GROUP: &str = "broker-dlq-group";

/// Puts deliveries with the dead letters; one answer per receipt, `Acked` where it is done.
pub(crate) async fn bury(
    consumer: &Consumer,
    session: &Arc<Session>,
    who: Who,
    runs: &[ReceiptRun],
    refusal: (Disposition, &Failure),
) -> Result<Settlements> {
    let checked = session.peek_to_move(runs, who, consumer.client.patience());
    let count = checked.iter().filter(|(_, peeked)| peeked.is_ok()).count();
    let mut stored = Vec::new();
    let mut failed = None;
    if count > 0 {
        let client = &consumer.client;
        let topic = dead_topic(client, &session.stream, &session.group).await?;
        let producer = client.producer().await?;
        let batch = producer.begin(count);
        let peeked = checked
            .iter()
            .filter_map(|(receipt, peeked)| Some((receipt, peeked.as_ref().ok()?)));
        for (place, (receipt, peeked)) in peeked.enumerate() {
            write(
                &producer, &batch, place, &topic, *receipt, peeked, consumer, refusal,
            )
            .await;
        }
        batch.done().await;
        let failures = batch.failures();
        stored = (0..count)
            .map(|place| !failures.iter().any(|(index, ..)| *index == place))
            .collect();
        failed = failures
            .first()
            .map(|(_, code, _)| error::from_code(*code).with("topic", &topic));
    }
    let mut stored = stored.into_iter();
    let mut answers = Settlements::all(Settled::Acked, 0);
    for (receipt, peeked) in checked {
        match peeked {
            Err(answer) => answers.push(answer),
            Ok(_) if stored.next() == Some(true) => {
                answers.append(&session.settle(&[receipt.into()], who, Purpose::Done));
            }
            // It stays: the caller hears of it, and tries again.
            Ok(_) => answers.push(Settled::NotPending),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(answers),
    }
}

#[expect(clippy::too_many_arguments, reason = "all of it goes into one record")]
async fn write(
    producer: &Producer,
    batch: &Handing<'_>,
    place: usize,
    topic: &str,
    receipt: Receipt,
    peeked: &Peeked,
    consumer: &Consumer,
    (disposition, failure): (Disposition, &Failure),
) {
    let missing = Message::default();
    let message = peeked.chunk.messages.get(peeked.index).unwrap_or(&missing);
    let chain = serde_json::to_string(&failure.chain).unwrap_or_default();
    let attempts = disposition.attempts(receipt.attempt).to_string();
    let first = millis(peeked.first_failed.unwrap_or_else(SystemTime::now)).to_string();
    let about = [
        (REASON, failure.reason.as_bytes()),
        (CHAIN, chain.as_bytes()),
        (ATTEMPTS, attempts.as_bytes()),
        (FIRST, first.as_bytes()),
        (CONSUMER, consumer.member.consumer.as_str().as_bytes()),
        (STREAM, consumer.member.stream.as_str().as_bytes()),
        (GROUP, consumer.member.group.as_str().as_bytes()),
    ];
    let key = message.message_key().map(|key| (KEY, key.as_ref()));
    let headers = codec::with(
        codec::headers(message).unwrap_or_default_headers(),
        about.into_iter().chain(key),
    );
    let id = peeked.chunk.id(peeked.index, &receipt).to_string();
    let record = Record {
        topic,
        partition: Some(0),
        key: Some(id.as_bytes()),
        payload: Some(message.payload()),
        headers: Some(headers),
    };
    producer.send(batch, place, record).await;
}

/// Headers, also where there are none yet.
trait OrNone {
    fn unwrap_or_default_headers(self) -> rdkafka::message::OwnedHeaders;
}

impl OrNone for Option<rdkafka::message::OwnedHeaders> {
    fn unwrap_or_default_headers(self) -> rdkafka::message::OwnedHeaders {
        self.unwrap_or_else(|| rdkafka::message::OwnedHeaders::new_with_capacity(8))
    }
}

/// The topic of the group's dead letters, which is made if it is not there.
async fn dead_topic(client: &Arc<Client>, stream: &StreamName, group: &GroupName) -> Result<String> {
    let name = names::dead_letters(stream, group);
    if lock(&client.dead).contains_key(&name) {
        return Ok(name);
    }
    client
        .make_topic(Make {
            name: name.clone(),
            // One partition: dead letters have one order.
            partitions: 1,
            replication: client.config.replication.map_or(-1, i32::from),
            settings: client.own_settings("compact"),
        })
        .await?;
    client.wait_for_topic(name.clone()).await?;
    lock(&client.dead).entry(name.clone()).or_default();
    Ok(name)
}

pub(crate) fn millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}
