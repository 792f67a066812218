//! Finds out a consumer that brings nothing although there is something.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _};

use crate::client::Quiet;
use crate::offsets;
use crate::places::Places;
use crate::poller::GroupConsumer;

/// How long one question may take: who closes the broker waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often one look asks the library for what it has.
const TURN: Duration = Duration::from_millis(100);

/// Looks whether partitions from which nothing came for long have messages. It asks another consumer before it believes
/// so: behind the last message there may be what is none, such as the marks of transactions.
pub(crate) struct Watchdog {
    /// For how long nothing may come.
    within: Duration,
    patience: Duration,
    probe: ClientConfig,
    looked: Instant,
    seen: BTreeMap<u32, Seen>,
}

struct Seen {
    epoch: u32,
    fetched: u64,
    since: Instant,
    /// The end of the log before which nothing was found.
    nothing_until: u64,
}

impl Watchdog {
    pub(crate) fn new(consumer: &ClientConfig, within: Duration, patience: Duration) -> Self {
        let mut probe = consumer.clone();
        probe.set("group.id", "broker-listener");
        probe.set("enable.partition.eof", "true");
        // One message is enough, and at once.
        probe.set("fetch.min.bytes", "1");
        probe.set("fetch.wait.max.ms", "100");
        Self {
            within,
            patience: patience.min(PATIENCE),
            probe,
            looked: Instant::now(),
            seen: BTreeMap::new(),
        }
    }

    /// When to look again.
    pub(crate) fn pause(&self) -> Duration {
        (self.within / 2).saturating_sub(self.looked.elapsed())
    }

    /// Looks, if it is time to. The first time that something is found the group's health says so; where nothing has come
    /// by the next time, the group is left, and joined anew by the next read.
    pub(crate) fn look(&mut self, consumer: &GroupConsumer) {
        if !self.pause().is_zero() {
            return;
        }
        self.looked = Instant::now();
        let session = consumer.context().session();
        let suspects = self.suspects(consumer);
        if suspects.is_empty() {
            return;
        }
        let mut silent = Vec::new();
        for topic in session.places.topics() {
            match self.ask(&session.places, topic, &suspects) {
                Ok(found) => silent.extend(found),
                Err(error) => {
                    tracing::debug!(%error, "whether a consumer is silent could not be asked");
                    return;
                }
            }
        }
        for suspect in suspects
            .iter()
            .filter(|suspect| !silent.contains(&suspect.number))
        {
            if let Some(seen) = self.seen.get_mut(&suspect.number) {
                (seen.since, seen.nothing_until) = (Instant::now(), suspect.high);
            }
        }
        let mut state = session.state();
        let still = silent.iter().filter(|number| {
            let fetched = state.partitions.get(number).map(|partition| partition.fetched);
            fetched.is_some() && fetched == self.seen.get(number).map(|seen| seen.fetched)
        });
        let still: Vec<u32> = still.copied().collect();
        if still.is_empty() {
            return;
        }
        if state.silent.is_none() {
            state.silent = Some(Instant::now());
            tracing::warn!(stream = %session.stream, group = %session.group, partitions = ?still, "the consumer is silent although there are messages");
            return;
        }
        drop(state);
        tracing::warn!(stream = %session.stream, group = %session.group, partitions = ?still, "the consumer stays silent and is replaced");
        session.end();
        session.wake();
    }

    /// The partitions that could bring something and did not for long, though their logs go on.
    fn suspects(&mut self, consumer: &GroupConsumer) -> Vec<Suspect> {
        let session = consumer.context().session();
        // The consumer's own connections may be what is stuck.
        let asker = consumer.context().client().and_then(|client| client.asker().ok());
        let Some(asker) = asker else {
            return Vec::new();
        };
        let mut open = BTreeMap::new();
        for partition in session.state().partitions.values() {
            if !partition.leaving && !partition.paused && !partition.is_full() {
                open.insert(partition.number, (partition.epoch, partition.fetched));
            }
        }
        self.seen.retain(|number, _| open.contains_key(number));
        let mut suspects = Vec::new();
        for (number, (epoch, fetched)) in open {
            let seen = self.seen.entry(number).or_insert(Seen {
                epoch,
                fetched,
                since: Instant::now(),
                nothing_until: 0,
            });
            if (seen.epoch, seen.fetched) != (epoch, fetched) {
                (seen.epoch, seen.fetched, seen.since) = (epoch, fetched, Instant::now());
            }
            if seen.since.elapsed() < self.within {
                continue;
            }
            let (topic, partition) = session.places.find(number);
            match offsets::watermarks(&asker, topic, partition, self.patience) {
                Ok((_, high)) if high > fetched.max(seen.nothing_until) => suspects.push(Suspect {
                    number,
                    fetched,
                    high,
                }),
                Ok(_) => seen.since = Instant::now(),
                // Who is away has nothing to bring.
                Err(_) => {
                    seen.since = Instant::now();
                    break;
                }
            }
        }
        suspects
    }

    /// Which partitions of `topic` among them another consumer finds messages in.
    fn ask(&self, places: &Places, topic: &str, all: &[Suspect]) -> broker_core::Result<Vec<u32>> {
        let of_topic = all
            .iter()
            .filter(|suspect| places.find(suspect.number).0 == topic);
        let suspects: Vec<_> = of_topic.collect();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let own = |error: KafkaError| crate::error::from_kafka(&error);
        let probe: BaseConsumer<Quiet> = self.probe.create_with_context(Quiet).map_err(own)?;
        let mut list = TopicPartitionList::new();
        for suspect in &suspects {
            places.add(&mut list, suspect.number, suspect.fetched)?;
        }
        probe.assign(&list).map_err(own)?;
        let mut answers: BTreeMap<u32, bool> = BTreeMap::new();
        let until = Instant::now() + self.patience;
        while answers.len() < suspects.len() && Instant::now() < until {
            let (partition, is_message) = match probe.poll(TURN) {
                Some(Ok(record)) => (record.partition(), true),
                Some(Err(KafkaError::PartitionEOF(partition))) => (partition, false),
                Some(Err(_)) | None => continue,
            };
            if let Some(number) = places.number(topic, partition) {
                // What was found first counts: behind the last message comes the end.
                answers.entry(number).or_insert(is_message);
            }
        }
        if answers.len() < suspects.len() {
            return Err(crate::error::odd("a log that neither has messages nor an end"));
        }
        let found = answers.into_iter().filter(|(_, is_message)| *is_message);
        Ok(found.map(|(number, _)| number).collect())
    }
}

struct Suspect {
    number: u32,
    fetched: u64,
    /// The end of its log.
    high: u64,
}
