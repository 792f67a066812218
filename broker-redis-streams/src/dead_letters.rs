//! A group's failed messages: a stream beside the one they came from.

use std::sync::Arc;

use broker_core::base::DeadLetters;
use broker_core::{
    ConsumerName, DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, Failure, GroupName,
    MessageId, Result, Selection, StreamName, async_trait,
};
use redis::Value;

use crate::broker::RedisStreams;
use crate::client::Client;
use crate::group::Group;
use crate::time::{EntryId, moment};
use crate::{codec, entry, error, reply, scripts};

/// How many entries a page has unless the query says otherwise, and how many one script puts back.
const PAGE: usize = 100;

/// Names and values of what is told about a failure, which come before the message's own fields.
const ABOUT: usize = 18;

#[async_trait]
impl DeadLetters for RedisStreams {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let group = self.first(stream, group).await?;
        let newest = match (&query.before, query.until) {
            (Some(before), _) => format!("({}", EntryId::of(before)?),
            (None, Some(until)) => format!("({}", EntryId::at(until)),
            (None, None) => "+".to_owned(),
        };
        let oldest = query
            .since
            .map_or_else(|| "-".to_owned(), |since| EntryId::at(since).to_string());
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        let mut ask = redis::cmd("XREVRANGE");
        ask.arg(&group.keys.dead)
            .arg(newest)
            .arg(oldest)
            .arg("COUNT")
            .arg(limit.saturating_add(1));
        let mut letters = letters(&group, self.client().command(&ask).await?)?;
        let more = letters.len() > limit;
        letters.truncate(limit);
        let next = letters.last().filter(|_| more).map(|letter| letter.id.clone());
        Ok(DeadLetterPage { letters, next })
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        let Ok(id) = EntryId::of(id) else {
            return Ok(None);
        };
        let group = self.first(stream, group).await?;
        let mut ask = redis::cmd("XRANGE");
        ask.arg(&group.keys.dead).arg(id.to_string()).arg(id.to_string());
        Ok(letters(&group, self.client().command(&ask).await?)?.pop())
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let client = self.client();
        let group = self.first(stream, group).await?;
        let end = match selection {
            Selection::Ids(ids) => {
                let ids = entry_ids(ids)?;
                let count = revive(client, &group, &ids).await?;
                return count.ok_or_else(|| missing(&group));
            }
            // What dies while this runs is not part of it, or it might never end.
            Selection::All => "+".to_owned(),
            Selection::Before(time) => format!("({}", EntryId::at(*time)),
        };
        let mut left = depth(client, &group).await?;
        let mut replayed = 0;
        while left > 0 {
            let ids = oldest(
                client,
                &group,
                &end,
                PAGE.min(usize::try_from(left).unwrap_or(PAGE)),
            )
            .await?;
            if ids.is_empty() {
                break;
            }
            // Where another operator was quicker with one of them, the rest is looked up again.
            if let Some(count) = revive(client, &group, &ids).await? {
                replayed += count;
                left = left.saturating_sub(count);
            }
        }
        Ok(replayed)
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let client = self.client();
        let group = self.first(stream, group).await?;
        let mut call = scripts::PURGE.call(&[&group.keys.dead]);
        match selection {
            Selection::Before(time) => {
                let mut trim = redis::cmd("XTRIM");
                trim.arg(&group.keys.dead)
                    .arg("MINID")
                    .arg(EntryId::at(*time).to_string());
                return reply::expect_count(client.command(&trim).await?, "XTRIM");
            }
            Selection::Ids(ids) if ids.is_empty() => return Ok(0),
            Selection::Ids(ids) => {
                for id in entry_ids(ids)? {
                    call.arg(id.to_string());
                }
            }
            Selection::All => {}
        }
        let answer = client.run(&scripts::PURGE, &call).await?;
        reply::count(&answer).ok_or_else(|| missing(&group))
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        let group = self.first(stream, group).await?;
        depth(self.client(), &group).await
    }
}

impl RedisStreams {
    /// The group in the first partition: dead letters of all partitions lie together.
    async fn first(&self, stream: &StreamName, group: &GroupName) -> Result<Arc<Group>> {
        let topic = self.client().topic(stream).await?;
        let first = topic.first().ok_or_else(|| error::odd_reply("GET"))?;
        Ok(self.client().group(first, group))
    }
}

async fn depth(client: &Client, group: &Group) -> Result<u64> {
    let mut ask = redis::cmd("XLEN");
    ask.arg(&group.keys.dead);
    reply::expect_count(client.command(&ask).await?, "XLEN")
}

/// The oldest entries up to `end`.
async fn oldest(client: &Client, group: &Group, end: &str, count: usize) -> Result<Vec<EntryId>> {
    let mut ask = redis::cmd("XRANGE");
    ask.arg(&group.keys.dead)
        .arg("-")
        .arg(end)
        .arg("COUNT")
        .arg(count);
    let entries = reply::items(client.command(&ask).await?, "XRANGE")?;
    let ids = entries.into_iter().filter_map(entry::id_and_fields);
    Ok(ids.map(|(id, _)| id).collect())
}

/// Puts entries back; answers how many, or `None` where one is not there.
async fn revive(client: &Client, group: &Group, ids: &[EntryId]) -> Result<Option<u64>> {
    if ids.is_empty() {
        return Ok(Some(0));
    }
    let topic = client.topic(&group.stream).await?;
    let groups: Vec<_> = topic
        .iter()
        .map(|partition| client.group(partition, &group.name))
        .collect();
    let mut keys = vec![group.keys.dead.as_str()];
    for group in &groups {
        keys.extend([
            group.keys.entries.as_str(),
            group.keys.state.as_str(),
            group.keys.due.as_str(),
        ]);
    }
    let mut call = scripts::REVIVE.call(&keys);
    call.arg(group.name.as_str());
    for id in ids {
        call.arg(id.to_string());
    }
    let answer = client.run(&scripts::REVIVE, &call).await?;
    for group in groups {
        client.wake(&group).await;
    }
    Ok(reply::count(&answer))
}

/// The ids, oldest first and each once.
fn entry_ids(ids: &[MessageId]) -> Result<Vec<EntryId>> {
    let ids: Result<std::collections::BTreeSet<_>> = ids.iter().map(EntryId::of).collect();
    let ids = ids.map_err(|error| Error::new(ErrorKind::NotFound, error.message().to_owned()))?;
    Ok(ids.into_iter().collect())
}

fn missing(group: &Group) -> Error {
    Error::new(ErrorKind::NotFound, "there is no dead letter of that id")
        .with("stream", &group.stream)
        .with("group", &group.name)
}

fn letters(group: &Group, answer: Value) -> Result<Vec<DeadLetter>> {
    let entries = reply::items(answer, "XRANGE")?.into_iter();
    entries
        .map(|one| letter(group, one).ok_or_else(|| error::odd_reply("XRANGE")))
        .collect()
}

fn letter(group: &Group, entry: Value) -> Option<DeadLetter> {
    let (id, mut about) = entry::id_and_fields(entry)?;
    let fields = about.split_off(ABOUT.min(about.len()));
    let about = Value::Array(about);
    let text = |name: &str| reply::field(&about, name).and_then(reply::text);
    let number = |name: &str| reply::count_field(&about, name);
    let original = EntryId::parse(text("original")?.as_bytes())?;
    let partition = u32::try_from(number("partition")?).ok()?;
    Some(DeadLetter {
        id: id.to_message_id(None),
        original_id: original.to_message_id(group.partition.map(|_| partition)),
        stream: group.stream.clone(),
        group: group.name.clone(),
        partition,
        message: codec::decode(fields)?.message,
        failure: Failure {
            reason: text("reason")?.to_owned(),
            chain: serde_json::from_str(text("chain")?).unwrap_or_default(),
        },
        attempts: u32::try_from(number("attempts")?).unwrap_or(u32::MAX),
        first_failed: moment(number("first")?),
        // The id is the server's time of that failure, and listing by time goes by ids: two readings of the clock
        // would disagree by a millisecond now and then.
        last_failed: moment(id.ms),
        consumer: ConsumerName::new(text("consumer")?).ok()?,
    })
}
