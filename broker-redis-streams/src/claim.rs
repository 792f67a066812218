//! Taking over what is due: rested, given back, or with an ended lease.

use std::time::Duration;

use broker_core::{BrokerEvent, Result};
use redis::Value;
use tokio::time::Instant;

use crate::codec::{self, Content};
use crate::entry::Entry;
use crate::lane::Arrived;
use crate::reader::Hands;
use crate::time::{EntryId, millis};
use crate::{error, reply, scripts};

/// How many deliveries one claim takes at most: it runs on the shared connection.
const MOST: usize = 128;

/// The longest time between two looks at the leases of others, where a look need not be rarer for being cheap.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time where leases are so long that it is a small share of them.
const LONGEST_SHARE_INTERVAL: Duration = Duration::from_secs(15);
/// The share of the lease that such a member waits.
const SMALL_SHARE: u32 = 20;
/// The longest time between two looks of a member that does not hear what others give back.
const DEAF_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two looks at the leases of others.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// How often a member with this lease looks whether others' leases have ended.
///
/// One that does not hear the others looks for what they give back, too.
pub(crate) fn interval(lease: Duration, hears: bool) -> Duration {
    let longest = match hears {
        true => (lease / SMALL_SHARE).clamp(LONGEST_INTERVAL, LONGEST_SHARE_INTERVAL),
        false => DEAF_INTERVAL,
    };
    (lease / 4).clamp(SHORTEST_INTERVAL, longest)
}

/// Where the search for ended leases goes on; it goes round the whole group.
#[derive(Clone, Debug)]
pub(crate) struct Cursor(String);

impl Default for Cursor {
    fn default() -> Self {
        Self("-".to_owned())
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Whether leases that have ended are, which costs the more the more is pending; else only what is due.
    pub(crate) leases: bool,
    /// Where that goes on.
    pub(crate) from: Cursor,
}

impl Search {
    pub(crate) fn new(leases: bool, from: &Cursor) -> Self {
        let from = from.clone();
        Self { leases, from }
    }
}

/// What a claim brought.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) arrived: Arrived,
    /// Where the next one goes on.
    pub(crate) cursor: Cursor,
    /// For how long entries are out that were left alone, as the answer to a read may hold them.
    pub(crate) held: Option<Duration>,
}

impl Claimed {
    pub(crate) fn nothing() -> Self {
        Self {
            arrived: Arrived::nothing(),
            cursor: Cursor::default(),
            held: None,
        }
    }
}

/// Claims up to `max` deliveries that are due, and learns when the next ones are.
///
/// `unanswered` is for how long a read has gone without its answer, if one has: entries that it was handed meanwhile are not claimed
/// from under it.
pub(crate) async fn claim(
    hands: &Hands,
    max: usize,
    search: Search,
    unanswered: Option<Duration>,
) -> Result<Claimed> {
    let (client, group, member) = (&hands.client, &hands.group, &hands.member);
    let since = Instant::now();
    let keys = &group.keys;
    let mut call = scripts::CLAIM.call(&[
        &keys.entries,
        &keys.state,
        &keys.due,
        &keys.leases,
        &keys.delayed,
        &keys.lanes,
    ]);
    call.arg(group.name.as_str())
        .arg(member.consumer.as_str())
        .arg(max.min(MOST))
        .arg(millis(member.lease))
        .arg(search.from.0.as_str())
        .arg(unanswered.map_or_else(|| "-1".to_owned(), |time| millis(time).to_string()))
        .arg(u8::from(search.leases));
    let answer = client.run(&scripts::CLAIM, &call).await?;
    let mut parts = reply::items(answer, "claim")?.into_iter();
    let odd = || error::odd_reply("claim");
    let claimed = reply::items(parts.next().ok_or_else(odd)?, "claim")?;
    let wait = parts.next().as_ref().and_then(reply::number).ok_or_else(odd)?;
    let epoch = parts.next().as_ref().and_then(reply::count).ok_or_else(odd)?;
    let lost = parts.next().as_ref().and_then(reply::count).ok_or_else(odd)?;
    let cursor = parts
        .next()
        .as_ref()
        .and_then(reply::text)
        .map(str::to_owned)
        .ok_or_else(odd)?;

    let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
    group.learn_epoch(epoch);
    group.due_again(u64::try_from(wait).ok().map(Duration::from_millis));
    if lost > 0 {
        client.lost.fetch_add(lost, std::sync::atomic::Ordering::Relaxed);
        client.context.events.send(BrokerEvent::MessagesLost {
            stream: group.stream.clone(),
            group: group.name.clone(),
            count: lost,
        });
    }
    let mut entries = Vec::with_capacity(claimed.len());
    for one in claimed {
        if let Some(entry) = entry(one) {
            entries.push(entry);
        }
    }
    let token = parts.next().as_ref().and_then(reply::count);
    let token = token.and_then(|token| u32::try_from(token).ok());
    let mut arrived = Arrived::new(since, epoch, entries);
    arrived.token = token;
    if let Some(token) = token {
        group.learn_token(token);
    }
    let held = parts.next().as_ref().and_then(reply::number).ok_or_else(odd)?;
    Ok(Claimed {
        arrived,
        cursor: Cursor(cursor),
        held: u64::try_from(held).ok().map(Duration::from_millis),
    })
}

/// Removes members that gave no sign of life for long.
pub(crate) async fn reap(hands: &Hands) -> Result<()> {
    let (client, group) = (&hands.client, &hands.group);
    let keys = &group.keys;
    let mut call = scripts::REAP.call(&[&keys.entries, &keys.state, &keys.due, &keys.leases, &keys.members]);
    call.arg(group.name.as_str())
        .arg(hands.member.consumer.as_str())
        .arg(millis(client.config.reap_after));
    let reaped = reply::expect_count(client.run(&scripts::REAP, &call).await?, "reap")?;
    if reaped > 0 {
        client
            .reaped
            .fetch_add(reaped, std::sync::atomic::Ordering::Relaxed);
        tracing::info!(stream = %group.stream, group = %group.name, reaped, "members without a sign of life were removed");
        client.wake(group).await;
    }
    Ok(())
}

fn entry(claimed: Value) -> Option<Entry> {
    let Value::Array(parts) = claimed else {
        return None;
    };
    let mut parts = parts.into_iter();
    let Value::BulkString(id) = parts.next()? else {
        return None;
    };
    let number = |value: Option<Value>| {
        let number = reply::count(&value?)?;
        Some(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let count = number(parts.next())?;
    let attempt = number(parts.next())?;
    let replayed = reply::bytes(parts.next()?)?;
    let Value::Array(fields) = parts.next()? else {
        return None;
    };
    let Content {
        mut message,
        only_for,
    } = codec::decode(fields)?;
    if !replayed.is_empty() {
        codec::mark_replayed(&mut message, &replayed);
    }
    Some(Entry {
        id: EntryId::parse(&id)?,
        message,
        only_for,
        count,
        attempt: attempt.max(1),
    })
}
