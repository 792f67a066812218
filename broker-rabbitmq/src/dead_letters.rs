//! Dead letters: a queue per group, walked without losing or reordering it.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::base::{DeadLetters, Disposition};
use broker_core::{
    ConsumerName, DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, Failure, GroupName,
    MessageId, Result, Selection, StreamName, async_trait,
};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use crate::broker::RabbitMq;
use crate::client::Client;
use crate::codec::{self, Meta};
use crate::consumer::Consumer;
use crate::entry::Entry;
use crate::error::from_lapin;
use crate::names;
use crate::properties::{bytes, number, text_of};
use crate::sender::Outgoing;

/// How many letters are on a page that names no size.
const PAGE: usize = 100;

/// How many letters are asked for at once in a walk.
const STRIDE: usize = 256;

/// How long the server may take to have put back what a walk looked at.
const PUT_BACK: Duration = Duration::from_secs(2);

/// A refused delivery as a letter for its group's dead letters.
pub(crate) async fn letter(
    consumer: &Consumer,
    entry: &Entry,
    disposition: Disposition,
    failure: &Failure,
    now: u64,
) -> Result<Outgoing> {
    let client = &consumer.client;
    let queue = names::dead(consumer.queue.as_str())?;
    client.beside(&queue, FieldTable::default()).await?;
    let meta = Meta {
        attempts: disposition.attempts(entry.attempt),
        first_failed: Some(entry.meta.first_failed.unwrap_or(now)),
        ..entry.meta.clone()
    };
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
        ("broker-consumer", consumer.member.consumer.to_string()),
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
struct Walked {
    tag: u64,
    letter: DeadLetter,
}

/// A group's dead letters, walked by one channel: what is not acked goes back when the walk ends.
struct Walk<'a> {
    client: &'a Client,
    channel: Channel,
    queue: ShortString,
    seen: u64,
    last: u64,
    gone: u64,
    over: bool,
}

impl<'a> Walk<'a> {
    /// Starts at the oldest letter; `None` where there never was one.
    async fn start(client: &'a Client, stream: &StreamName, group: &GroupName) -> Result<Option<Self>> {
        let queue = names::dead(names::queue(&client.config, stream, group)?.as_str())?;
        Ok(match depth(client, &queue).await? {
            None => None,
            Some(_) => Some(Self {
                client,
                channel: client.asking().await?,
                queue,
                seen: 0,
                last: 0,
                gone: 0,
                over: false,
            }),
        })
    }

    /// The next letters, oldest first; none at the end.
    async fn next(&mut self, stream: &StreamName, group: &GroupName) -> Result<Vec<Walked>> {
        let mut letters = Vec::new();
        if self.over {
            return Ok(letters);
        }
        let get = || {
            self.channel
                .basic_get(self.queue.clone(), BasicGetOptions::default())
        };
        for got in futures_util::future::join_all((0..STRIDE).map(|_| get())).await {
            let Some(got) = got.map_err(|error| from_lapin(&error))? else {
                self.over = true;
                continue;
            };
            self.seen += 1;
            self.last = got.delivery.delivery_tag;
            letters.push(read(got.delivery, stream, group)?);
        }
        Ok(letters)
    }

    /// Removes a letter for good.
    async fn remove(&mut self, tag: u64) -> Result<()> {
        let acked = self.channel.basic_ack(tag, BasicAckOptions::default()).await;
        acked.map_err(|error| from_lapin(&error))?;
        self.gone += 1;
        Ok(())
    }

    /// Puts back what was only looked at, and waits until it is there.
    async fn end(self) -> Result<()> {
        if self.seen > self.gone {
            let all = BasicNackOptions {
                multiple: true,
                requeue: true,
            };
            let put_back = self.channel.basic_nack(self.last, all).await;
            put_back.map_err(|error| from_lapin(&error))?;
        }
        let (left, until) = (self.seen - self.gone, Instant::now() + PUT_BACK);
        while depth(self.client, &self.queue).await?.unwrap_or(left) < left && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn read(delivery: lapin::message::Delivery, stream: &StreamName, group: &GroupName) -> Result<Walked> {
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
    Ok(Walked { tag, letter })
}

fn moment(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// How many letters there are; `None` where there is no queue for them.
async fn depth(client: &Client, queue: &ShortString) -> Result<Option<u64>> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let channel = client.asking().await?;
    let answer = channel
        .queue_declare(queue.clone(), passive, FieldTable::default())
        .await;
    match answer.map_err(|error| from_lapin(&error)) {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl DeadLetters for RabbitMq {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(DeadLetterPage::default());
        };
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        // The newest of what was seen, one more than a page has: that there is another page is known by it.
        let mut page = VecDeque::new();
        let mut reached = false;
        loop {
            let letters = walk.next(stream, group).await?;
            if letters.is_empty() {
                break;
            }
            for Walked { letter, .. } in letters {
                reached = reached
                    || query
                        .before
                        .as_ref()
                        .is_some_and(|before| is_there(before, &letter.id));
                let in_time = query.since.is_none_or(|since| letter.last_failed >= since)
                    && query.until.is_none_or(|until| letter.last_failed < until);
                if !reached && in_time {
                    page.push_back(letter);
                    if page.len() > limit + 1 {
                        page.pop_front();
                    }
                }
            }
        }
        walk.end().await?;
        let more = page.len() > limit;
        if more {
            page.pop_front();
        }
        let next = page.front().filter(|_| more).map(|letter| letter.id.clone());
        Ok(DeadLetterPage {
            letters: page.into_iter().rev().collect(),
            next,
        })
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(None);
        };
        let mut found = None;
        while found.is_none() {
            let letters = walk.next(stream, group).await?;
            if letters.is_empty() {
                break;
            }
            found = letters
                .into_iter()
                .map(|walked| walked.letter)
                .find(|letter| letter.id == *id);
        }
        walk.end().await?;
        Ok(found)
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        self.take(stream, group, selection, true).await
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        self.take(stream, group, selection, false).await
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        let queue = names::dead(names::queue(&client.config, stream, group)?.as_str())?;
        Ok(depth(client, &queue).await?.unwrap_or(0))
    }
}

impl RabbitMq {
    /// Takes what is selected away, after putting it back to its group where it is replayed. Answers how many.
    async fn take(
        &self,
        stream: &StreamName,
        group: &GroupName,
        selection: &Selection,
        replay: bool,
    ) -> Result<u64> {
        let client = self.client();
        client.check_open()?;
        let _alone = client.walking.lock().await;
        if let Selection::Ids(ids) = selection {
            self.all_there(stream, group, ids).await?;
        }
        let Some(mut walk) = Walk::start(client, stream, group).await? else {
            return Ok(0);
        };
        let queue = client.group(stream, group).await?;
        // What is buried while this goes on, and the very letter that fails again, is for the next time.
        let most = depth(client, &walk.queue).await?.unwrap_or(0);
        let mut taken = 0;
        loop {
            let letters = walk.next(stream, group).await?;
            let over = letters.is_empty() || walk.seen >= most;
            let chosen: Vec<_> = letters
                .into_iter()
                .filter(|walked| is_chosen(selection, &walked.letter))
                .collect();
            if replay {
                let copies = chosen
                    .iter()
                    .map(|walked| replayed(client, &queue, &walked.letter));
                client.put(copies.collect::<Result<_>>()?).await?;
            }
            for walked in &chosen {
                walk.remove(walked.tag).await?;
                taken += 1;
            }
            if over {
                break;
            }
        }
        walk.end().await?;
        Ok(taken)
    }

    async fn all_there(&self, stream: &StreamName, group: &GroupName, ids: &[MessageId]) -> Result<()> {
        let mut missing: HashSet<_> = ids.iter().collect();
        if let Some(mut walk) = Walk::start(self.client(), stream, group).await? {
            while !missing.is_empty() {
                let letters = walk.next(stream, group).await?;
                if letters.is_empty() {
                    break;
                }
                for walked in letters {
                    missing.remove(&walked.letter.id);
                }
            }
            walk.end().await?;
        }
        match missing.into_iter().next() {
            None => Ok(()),
            Some(id) => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no dead letter `{id}`; list them for their ids"),
            )),
        }
    }
}

/// Whether a page before `before` ends where `id` is: at it, or at the first later one where it is gone.
fn is_there(before: &MessageId, id: &MessageId) -> bool {
    match (before, id) {
        (MessageId::Entry { ms, .. }, MessageId::Entry { ms: other, .. }) => before == id || other > ms,
        _ => before == id,
    }
}

fn is_chosen(selection: &Selection, letter: &DeadLetter) -> bool {
    match selection {
        Selection::All => true,
        Selection::Ids(ids) => ids.contains(&letter.id),
        Selection::Before(time) => letter.last_failed < *time,
    }
}

fn replayed(client: &Client, queue: &ShortString, letter: &DeadLetter) -> Result<Outgoing> {
    let message = letter
        .message
        .clone()
        .header("replayed-from", letter.id.to_string());
    let meta = Meta::new(letter.original_id.clone());
    let (properties, table) = codec::encode(&message, &meta, client.config.persistent)?;
    Ok(Outgoing {
        id: meta.id,
        exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
        routing_key: queue.clone(),
        payload: message.payload().clone(),
        properties: codec::finish(properties, table),
    })
}
