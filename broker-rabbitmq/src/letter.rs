//! Dead letters as they lie in their queue.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::{ConsumerName, DeadLetter, Failure, GroupName, MessageId, Result, StreamName};
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::client::Client;
use crate::codec;
use crate::entry::Entry;
use crate::meta::Meta;
use crate::names;
use crate::properties::{bytes, number, text_of};
use crate::sender::Outgoing;

/// What is told of a message that is given up.
pub(crate) struct Burial<'a> {
    pub(crate) queue: &'a ShortString,
    pub(crate) consumer: &'a ConsumerName,
    /// How often it was handed out.
    pub(crate) attempts: u32,
    /// When it failed for the first time, in ms since 1970, if it did before.
    pub(crate) first_failed: Option<u64>,
    pub(crate) failure: &'a Failure,
    pub(crate) now: u64,
}

/// A refused delivery as a letter for its group's dead letters.
pub(crate) async fn bury(client: &Client, entry: &Entry, burial: Burial<'_>) -> Result<Outgoing> {
    let Burial { failure, now, .. } = burial;
    let queue = names::dead(burial.queue.as_str())?;
    client.beside(&queue, FieldTable::default()).await?;
    let first = burial.first_failed.unwrap_or(now);
    let meta = entry.meta.moved(burial.attempts, Some(first));
    let (properties, mut table) = codec::encode(&entry.message, &meta, client.config.persistent)?;
    let id = MessageId::Entry {
        ms: now,
        seq: fastrand::u64(..1 << 48),
    };
    let chain = serde_json::to_string(&failure.chain).unwrap_or_default();
    for (name, value) in [
        ("broker-dead", id.to_string()),
        ("broker-reason", names::cut(&failure.reason, LONGEST).to_owned()),
        (
            "broker-chain",
            if chain.len() > LONGEST {
                "[]".to_owned()
            } else {
                chain
            },
        ),
        ("broker-consumer", burial.consumer.to_string()),
    ] {
        table.insert(name.into(), bytes(value.as_bytes()));
    }
    table.insert(
        "broker-last-failed".into(),
        AMQPValue::LongLongInt(i64::try_from(now).unwrap_or(i64::MAX)),
    );
    Ok(Outgoing {
        id: meta.id,
        exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
        routing_key: queue,
        payload: entry.message.payload().clone(),
        properties: codec::finish(properties, table),
    })
}

/// The most bytes of a reason, and of a chain of errors.
const LONGEST: usize = 2_048;

/// A letter in a walk.
pub(crate) struct Walked {
    pub(crate) tag: u64,
    pub(crate) letter: DeadLetter,
    meta: Meta,
}

/// Reads a letter, whoever put it there.
pub(crate) fn read(delivery: Delivery, stream: &StreamName, group: &GroupName) -> Result<Walked> {
    let tag = delivery.delivery_tag;
    let table = delivery.properties.headers().clone().unwrap_or_default();
    let text = |name: &str| table.inner().get(name).and_then(text_of);
    let whole = |name: &str| {
        table
            .inner()
            .get(name)
            .and_then(number)
            .and_then(|number| u64::try_from(number).ok())
    };
    let content = codec::decode(delivery.data, &delivery.properties);
    let last = whole("broker-last-failed").unwrap_or(0);
    let first = content.meta.first_failed.unwrap_or(last);
    // What another program put here is a letter as well, known by its own id.
    let id = text("broker-dead")
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| content.meta.id.clone());
    let consumer = text("broker-consumer").and_then(|name| ConsumerName::new(name).ok());
    let chain = text("broker-chain").and_then(|chain| serde_json::from_str(chain).ok());
    let letter = DeadLetter {
        id,
        original_id: content.meta.id.clone(),
        stream: stream.clone(),
        group: group.clone(),
        partition: 0,
        failure: Failure {
            reason: text("broker-reason")
                .unwrap_or("put here by another program")
                .to_owned(),
            chain: chain.unwrap_or_default(),
        },
        attempts: content.meta.attempts,
        first_failed: moment(first),
        last_failed: moment(last),
        consumer: consumer.map_or_else(|| ConsumerName::new("unknown"), Ok)?,
        message: content.message,
    };
    Ok(Walked {
        tag,
        letter,
        meta: content.meta,
    })
}

fn moment(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// The group that a message in a log is for alone.
pub(crate) const ONE_GROUP: &str = "broker-group";

/// A letter as a message for its group once more, in its queue or, for it alone, in the log of all groups.
pub(crate) fn replayed(
    client: &Client,
    queue: &ShortString,
    group: Option<&GroupName>,
    walked: &Walked,
) -> Result<Outgoing> {
    let letter = &walked.letter;
    let message = letter
        .message
        .clone()
        .header("replayed-from", letter.id.to_string());
    let meta = walked.meta.replayed();
    let (properties, mut table) = codec::encode(&message, &meta, client.config.persistent)?;
    if let Some(group) = group {
        table.insert(ONE_GROUP.into(), bytes(group.as_str().as_bytes()));
    }
    Ok(Outgoing {
        id: meta.id,
        exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
        routing_key: queue.clone(),
        payload: message.payload().clone(),
        properties: codec::finish(properties, table),
    })
}
