//! What is known of a topic of dead letters: which of its records are still there.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use broker_core::{Error, ErrorKind, Result, Retry};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, TopicPartitionList};

use crate::client::Quiet;
use crate::native::Native;
use crate::{error, offsets};

/// Which records of a topic of dead letters are still there. A record without value takes the one of its key away.
#[derive(Default)]
pub(crate) struct DeadIndex {
    /// The first offset that was not looked at.
    next: u64,
    /// The entries by offset: their keys, and when they were written.
    pub(crate) live: BTreeMap<u64, (Vec<u8>, i64)>,
    by_key: HashMap<Vec<u8>, u64>,
}

impl DeadIndex {
    /// Reads what is new; blocks. Answers `false` where there is no such topic.
    pub(crate) fn refresh(&mut self, scanner: &Scanner<'_>) -> Result<bool> {
        let Some((low, high)) = scanner.bounds()? else {
            *self = Self::default();
            return Ok(false);
        };
        if high < self.next {
            // It was removed and made anew.
            *self = Self::default();
        }
        let from = self.next.max(low);
        if from < high {
            scanner.scan(from, high, |record| {
                let (Some(key), Ok(offset)) = (record.key(), u64::try_from(record.offset())) else {
                    return;
                };
                if let Some(before) = self.by_key.remove(key) {
                    self.live.remove(&before);
                }
                if record.payload().is_some() {
                    let time = record.timestamp().to_millis().unwrap_or(0);
                    self.by_key.insert(key.to_vec(), offset);
                    self.live.insert(offset, (key.to_vec(), time));
                }
            })?;
            self.next = high;
        }
        Ok(true)
    }
}

/// Reads a topic of one partition from one offset to another.
pub(crate) struct Scanner<'a> {
    pub(crate) native: &'a Native,
    pub(crate) topic: &'a str,
    pub(crate) within: Duration,
}

impl Scanner<'_> {
    fn consumer(&self) -> Result<BaseConsumer<Quiet>> {
        let mut config = self.native.consumer.clone();
        config.set("group.id", "broker-dead-letters");
        config.set("enable.partition.eof", "true");
        config
            .create_with_context(Quiet)
            .map_err(|error| error::from_kafka(&error))
    }

    /// The first offset that is kept, and the one that the next record gets; `None` where there is no such topic.
    fn bounds(&self) -> Result<Option<(u64, u64)>> {
        let consumer = self.consumer()?;
        let metadata = consumer
            .fetch_metadata(Some(self.topic), self.within)
            .map_err(|error| error::from_kafka(&error))?;
        let there = metadata.topics().iter().any(|topic| {
            topic.name() == self.topic && topic.error().is_none() && !topic.partitions().is_empty()
        });
        if !there {
            return Ok(None);
        }
        offsets::watermarks(&consumer, self.topic, 0, self.within).map(Some)
    }

    /// Shows the records from `from` on, before `until`.
    pub(crate) fn scan(
        &self,
        from: u64,
        until: u64,
        mut see: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<()> {
        let consumer = self.consumer()?;
        let mut list = TopicPartitionList::new();
        offsets::add(&mut list, self.topic, 0, from)?;
        consumer
            .assign(&list)
            .map_err(|error| error::from_kafka(&error))?;
        let deadline = Instant::now() + self.within;
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    if offset >= until {
                        return Ok(());
                    }
                    see(&record);
                    if offset + 1 == until {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(failed)) if failed.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) => {
                    return Ok(());
                }
                Some(Err(failed)) => tracing::debug!(%failed, "reading dead letters"),
                None => {}
            }
            if Instant::now() > deadline {
                return Err(
                    Error::new(ErrorKind::Timeout, "reading the dead letters takes too long")
                        .retry(Retry::Safe)
                        .with("topic", self.topic),
                );
            }
        }
    }
}
