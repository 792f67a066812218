//! A group's failed messages: a topic beside the one they came from.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use broker_core::base::DeadLetters;
use broker_core::{
    ConsumerName, DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, Failure, GroupName, Message,
    MessageId, Result, Selection, StreamName, async_trait, partition_for_key,
};
use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

use crate::broker::Kafka;
use crate::burial::{ATTEMPTS, CHAIN, CONSUMER, FIRST, GROUP, KEY, REASON, STREAM, millis};
use crate::chunk::time;
use crate::client::{Client, blocking, lock};
use crate::dead_index::{DeadIndex, Scanner};
use crate::producer::Record;
use crate::{codec, error, names};

/// How many entries a page has unless the query says otherwise, and how many are put back at once.
const PAGE: usize = 100;

#[async_trait]
impl DeadLetters for Kafka {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let place = Place::new(self.client(), stream, group);
        let before = match &query.before {
            Some(id) => offset_of(id).ok_or_else(missing)?,
            None => u64::MAX,
        };
        let at = |time: Option<SystemTime>| time.map(|time| i64::try_from(millis(time)).unwrap_or(i64::MAX));
        let (since, until) = (at(query.since), at(query.until));
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        let mut offsets = place
            .look(move |index| {
                let newest_first = index.live.range(..before).rev();
                let wanted = newest_first.filter(|(_, (_, time))| {
                    since.is_none_or(|since| *time >= since) && until.is_none_or(|until| *time < until)
                });
                wanted
                    .map(|(offset, _)| *offset)
                    .take(limit.saturating_add(1))
                    .collect::<Vec<_>>()
            })
            .await?;
        let more = offsets.len() > limit;
        offsets.truncate(limit);
        let mut letters = place.letters(offsets.into_iter().collect()).await?;
        letters.reverse();
        let next = letters.last().filter(|_| more).map(|letter| letter.id.clone());
        Ok(DeadLetterPage { letters, next })
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        let Some(offset) = offset_of(id) else {
            return Ok(None);
        };
        let place = Place::new(self.client(), stream, group);
        if !place.look(move |index| index.live.contains_key(&offset)).await? {
            return Ok(None);
        }
        Ok(place.letters(BTreeSet::from([offset])).await?.pop())
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let place = Place::new(self.client(), stream, group);
        let offsets: Vec<u64> = place.select(selection).await?.into_iter().collect();
        let mut replayed = 0;
        for page in offsets.chunks(PAGE) {
            let letters = place.letters(page.iter().copied().collect()).await?;
            place.put_back(&letters).await?;
            place.remove(&letters).await?;
            replayed += letters.len() as u64;
        }
        Ok(replayed)
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let place = Place::new(self.client(), stream, group);
        let offsets = place.select(selection).await?;
        let wanted = offsets.clone();
        let keys = place
            .look(move |index| {
                let live = index.live.iter().filter(|(offset, _)| wanted.contains(offset));
                live.map(|(_, (key, _))| key.clone()).collect::<Vec<_>>()
            })
            .await?;
        place.remove_keys(&keys).await?;
        Ok(offsets.len() as u64)
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        let place = Place::new(self.client(), stream, group);
        place.look(|index| index.live.len() as u64).await
    }
}

/// A group's dead letters.
struct Place {
    client: Arc<Client>,
    stream: StreamName,
    group: GroupName,
    topic: String,
    index: Arc<Mutex<DeadIndex>>,
}

impl Place {
    fn new(client: &Arc<Client>, stream: &StreamName, group: &GroupName) -> Self {
        let topic = names::dead_letters(stream, group);
        // It is remembered only once it is known to be there.
        let known = lock(&client.dead).get(&topic).cloned();
        Self {
            client: Arc::clone(client),
            stream: stream.clone(),
            group: group.clone(),
            topic,
            index: known.unwrap_or_default(),
        }
    }

    /// Looks at what is there now.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&DeadIndex) -> T + Send + 'static,
    ) -> Result<T> {
        self.client.check_open()?;
        let (client, index, topic) = (
            Arc::clone(&self.client),
            Arc::clone(&self.index),
            self.topic.clone(),
        );
        blocking(move || {
            let mut index = lock(&index);
            index.refresh(&Scanner {
                native: &client.native,
                topic: &topic,
                within: client.patience(),
            })?;
            Ok(look(&index))
        })
        .await
    }

    /// The offsets of a selection.
    async fn select(&self, selection: &Selection) -> Result<BTreeSet<u64>> {
        let all = |until: i64| {
            move |index: &DeadIndex| {
                let old = index.live.iter().filter(|(_, (_, time))| *time < until);
                old.map(|(offset, _)| *offset).collect()
            }
        };
        match selection {
            Selection::All => self.look(all(i64::MAX)).await,
            Selection::Before(time) => {
                self.look(all(i64::try_from(millis(*time)).unwrap_or(i64::MAX)))
                    .await
            }
            Selection::Ids(ids) => {
                let wanted: Option<BTreeSet<u64>> = ids.iter().map(offset_of).collect();
                let wanted = wanted.ok_or_else(missing)?;
                let asked = wanted.clone();
                let all_there =
                    self.look(move |index| asked.iter().all(|offset| index.live.contains_key(offset)));
                if all_there.await? {
                    Ok(wanted)
                } else {
                    Err(missing().with("topic", &self.topic))
                }
            }
        }
    }

    /// The entries at these offsets, oldest first.
    async fn letters(&self, offsets: BTreeSet<u64>) -> Result<Vec<DeadLetter>> {
        let (Some(first), Some(last)) = (offsets.first().copied(), offsets.last().copied()) else {
            return Ok(Vec::new());
        };
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        let (stream, group) = (self.stream.clone(), self.group.clone());
        blocking(move || {
            let mut letters = Vec::with_capacity(offsets.len());
            let scanner = Scanner {
                native: &client.native,
                topic: &topic,
                within: client.patience(),
            };
            scanner.scan(first, last + 1, |record| {
                let wanted = u64::try_from(record.offset()).is_ok_and(|offset| offsets.contains(&offset));
                if wanted && let Some(letter) = letter(&stream, &group, record) {
                    letters.push(letter);
                }
            })?;
            Ok(letters)
        })
        .await
    }

    /// Publishes entries to their stream again, for their group alone.
    async fn put_back(&self, letters: &[DeadLetter]) -> Result<()> {
        let topic = self.client.topic(&self.stream).await?;
        let producer = self.client.producer().await?;
        let batch = producer.begin(letters.len());
        for (place, letter) in letters.iter().enumerate() {
            let message = letter
                .message
                .clone()
                .header(codec::REPLAYED_FROM, letter.id.to_string());
            let headers = codec::headers(&message);
            let only_for = [(codec::FOR, self.group.as_str().as_bytes())];
            let partition = match message.message_key() {
                Some(key) => partition_for_key(key, topic.partitions),
                None => letter.partition % topic.partitions.max(1),
            };
            let record = Record {
                topic: &topic.name,
                partition: i32::try_from(partition).ok(),
                key: message.message_key().map(|key| &**key),
                payload: Some(message.payload()),
                headers: headers.map(|headers| codec::with(headers, only_for.into_iter())),
            };
            producer.send(&batch, place, record).await;
        }
        self.finish(&batch).await
    }

    /// Removes entries.
    async fn remove(&self, letters: &[DeadLetter]) -> Result<()> {
        let keys: Vec<_> = letters
            .iter()
            .map(|letter| letter.original_id.to_string().into_bytes())
            .collect();
        self.remove_keys(&keys).await
    }

    async fn remove_keys(&self, keys: &[Vec<u8>]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let producer = self.client.producer().await?;
        let batch = producer.begin(keys.len());
        for (place, key) in keys.iter().enumerate() {
            let record = Record {
                topic: &self.topic,
                partition: Some(0),
                key: Some(key),
                payload: None,
                headers: None,
            };
            producer.send(&batch, place, record).await;
        }
        self.finish(&batch).await
    }

    async fn finish(&self, batch: &crate::producer::Batch) -> Result<()> {
        batch.done().await;
        match batch.failures().first() {
            Some((_, code, _)) => Err(error::from_code(*code).with("topic", &self.topic)),
            None => Ok(()),
        }
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "there is no dead letter of that id")
}

/// An entry's place; its topic has one partition.
fn offset_of(id: &MessageId) -> Option<u64> {
    match id {
        MessageId::Offset { partition: 0, offset } => Some(*offset),
        _ => None,
    }
}

fn letter(stream: &StreamName, group: &GroupName, record: &BorrowedMessage<'_>) -> Option<DeadLetter> {
    let original: MessageId = std::str::from_utf8(record.key()?).ok()?.parse().ok()?;
    let MessageId::Offset { partition, .. } = original else {
        return None;
    };
    let (mut key, mut failure) = (None, Failure::default());
    let (mut attempts, mut first, mut consumer) = (0, None, None);
    let pairs = record.headers().map(codec::pairs).unwrap_or_default();
    let message = Message::new(Bytes::copy_from_slice(record.payload()?));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let (mut message, _) = codec::decode(message, pairs.into_iter(), |name, value| {
        match name {
            KEY => key = Some(Bytes::copy_from_slice(value)),
            REASON => failure.reason = text(value),
            CHAIN => failure.chain = serde_json::from_slice(value).unwrap_or_default(),
            ATTEMPTS => attempts = text(value).parse().unwrap_or(0),
            FIRST => first = text(value).parse().ok().map(Duration::from_millis),
            CONSUMER => consumer = ConsumerName::new(text(value)).ok(),
            STREAM | GROUP => {}
            _ => return false,
        }
        true
    });
    if let Some(key) = key {
        message = message.key(key);
    }
    let last_failed = time(record.timestamp().to_millis().unwrap_or(0))?;
    Some(DeadLetter {
        id: MessageId::Offset {
            partition: 0,
            offset: u64::try_from(record.offset()).ok()?,
        },
        original_id: original,
        stream: stream.clone(),
        group: group.clone(),
        partition,
        message,
        failure,
        attempts,
        first_failed: first
            .map_or(last_failed, |first| SystemTime::UNIX_EPOCH + first)
            .min(last_failed),
        last_failed,
        consumer: consumer?,
    })
}
