//! Positions of groups: asked for, found, and committed.

use std::time::Duration;

use broker_core::{Error, ErrorKind, MessageId, Result, StartPosition};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::error;
use crate::places::{Places, retry_number};
use crate::progress::Progress;
use crate::topic::Topic;

/// What a group has committed of one partition.
pub(crate) struct Committed {
    pub(crate) number: u32,
    /// The position; where none is committed, the beginning.
    pub(crate) start: u64,
    pub(crate) progress: Option<Progress>,
    /// What the commit says beside the position.
    pub(crate) text: String,
    /// Whether there is a commit.
    pub(crate) exists: bool,
}

/// Adds a position to a list.
pub(crate) fn add(list: &mut TopicPartitionList, topic: &str, number: u32, start: u64) -> Result<()> {
    add_with(list, topic, number, start, "")
}

/// Adds a position with its text to a list.
pub(crate) fn add_with(
    list: &mut TopicPartitionList,
    topic: &str,
    number: u32,
    start: u64,
    text: &str,
) -> Result<()> {
    let (Ok(number), Ok(start)) = (i32::try_from(number), i64::try_from(start)) else {
        return Err(error::odd("a position"));
    };
    let mut element = list.add_partition(topic, number);
    let set = element.set_offset(Offset::Offset(start));
    if !text.is_empty() {
        element.set_metadata(text);
    }
    set.map_err(|error| error::from_kafka(&error))
}

/// What the consumer's group has committed of these partitions.
pub(crate) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: &Places,
    numbers: &[u32],
    within: Duration,
) -> Result<Vec<Committed>> {
    let list = places.list(numbers.iter().copied());
    let list = consumer
        .committed_offsets(list, within)
        .map_err(|error| error::from_kafka(&error))?;
    let mut found = Vec::with_capacity(numbers.len());
    for element in list.elements() {
        element.error().map_err(|error| error::from_kafka(&error))?;
        let start = match element.offset() {
            Offset::Offset(start) => u64::try_from(start).ok(),
            _ => None,
        };
        found.push(Committed {
            number: places
                .number(element.topic(), element.partition())
                .ok_or_else(|| error::odd("a partition"))?,
            start: start.unwrap_or(0),
            progress: start.and_then(|_| Progress::from_text(element.metadata())),
            text: element.metadata().to_owned(),
            exists: start.is_some(),
        });
    }
    Ok(found)
}

/// Makes the consumer's group, unless it is there; answers whether it made it.
pub(crate) fn make_group<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: &Places,
    start: &StartPosition,
    within: Duration,
) -> Result<bool> {
    let known = committed(consumer, places, &places.numbers(), within)?;
    let missing: Vec<u32> = known
        .iter()
        .filter(|found| !found.exists)
        .map(|found| found.number)
        .collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let is_new = missing.len() == known.len();
    // A partition that was added to a stream with groups is read from its beginning.
    let start = if is_new { start } else { &StartPosition::Earliest };
    let mut positions = resolve(consumer, &places.stream, start, within)?;
    if let Some(retry) = &places.retry {
        // What lies there is the group's own.
        let own = resolve(consumer, retry, &StartPosition::Earliest, within)?;
        positions.extend(own.into_iter().map(|(number, at)| (retry_number(number), at)));
    }
    let mut list = TopicPartitionList::new();
    for (number, position) in positions {
        if missing.contains(&number) {
            places.add(&mut list, number, position)?;
        }
    }
    match consumer.commit(&list, CommitMode::Sync) {
        Ok(()) => Ok(is_new),
        Err(refused) => match refused.rdkafka_error_code() {
            // It has members already: they make it.
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => Ok(false),
            _ => Err(error::from_kafka(&refused)),
        },
    }
}

/// Where a group that is moved goes on: at the position in its stream, and behind all that it had put off.
pub(crate) fn resolve_move<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: &Places,
    position: &StartPosition,
    within: Duration,
) -> Result<Vec<(u32, u64)>> {
    let mut targets = resolve(consumer, &places.stream, position, within)?;
    if let Some(retry) = &places.retry {
        let ends = resolve(consumer, retry, &StartPosition::Latest, within)?;
        let ends = ends.into_iter().map(|(number, at)| (retry_number(number), at));
        let known = places.numbers();
        targets.extend(ends.filter(|(number, _)| known.contains(number)));
    }
    Ok(targets)
}

/// The offset of a position in each partition of a topic.
pub(crate) fn resolve<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &Topic,
    position: &StartPosition,
    within: Duration,
) -> Result<Vec<(u32, u64)>> {
    let mut targets = Vec::new();
    let mut by_time = Vec::new();
    if let StartPosition::Time(time) = position {
        let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH);
        // What was stored within the same millisecond counts as later.
        let millis = since.map_or(0, |since| {
            i64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
        });
        by_time = at_time(consumer, topic, millis, within)?;
    }
    for number in 0..topic.partitions {
        let (low, high) = watermarks(consumer, &topic.name, number, within)?;
        let target = match position {
            StartPosition::Earliest => low,
            StartPosition::Latest => high,
            StartPosition::Time(_) => by_time
                .iter()
                .find(|(of, _)| *of == number)
                .map_or(high, |(_, at)| *at),
            StartPosition::Id(MessageId::Offset { partition, offset }) if *partition == number => *offset,
            // A place in one partition says nothing about the others.
            StartPosition::Id(MessageId::Offset { partition, .. }) if *partition < topic.partitions => low,
            StartPosition::Id(id) => {
                return Err(Error::new(
                    ErrorKind::InvalidMessage,
                    format!(
                        "`{id}` is no id of this stream; `partition:offset` is expected, with a partition below {}",
                        topic.partitions
                    ),
                ));
            }
        };
        targets.push((number, target.clamp(low, high)));
    }
    Ok(targets)
}

/// The first offset of each partition whose message is of that time or later.
fn at_time<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &Topic,
    millis: i64,
    within: Duration,
) -> Result<Vec<(u32, u64)>> {
    let mut list = TopicPartitionList::new();
    for number in (0..topic.partitions).filter_map(|number| i32::try_from(number).ok()) {
        list.add_partition_offset(&topic.name, number, Offset::Offset(millis))
            .map_err(|error| error::from_kafka(&error))?;
    }
    let found = consumer
        .offsets_for_times(list, within)
        .map_err(|error| error::from_kafka(&error))?;
    let mut offsets = Vec::new();
    for element in found.elements() {
        if let (Ok(number), Offset::Offset(at)) = (u32::try_from(element.partition()), element.offset())
            && let Ok(at) = u64::try_from(at)
        {
            offsets.push((number, at));
        }
    }
    Ok(offsets)
}

/// The first offset that is kept, and the one that the next message gets.
pub(crate) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    number: u32,
    within: Duration,
) -> Result<(u64, u64)> {
    let number = i32::try_from(number).map_err(|_| error::odd("a partition"))?;
    let (low, high) = consumer
        .fetch_watermarks(topic, number, within)
        .map_err(|error| error::from_kafka(&error))?;
    Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
}
