//! Moving a refused message to its group's retry topic: written there first, settled at its source then.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::base::MessageStore as _;
use broker_core::{Message, MessageId, Receipt, ReceiptRun, Result, Settled, Settlements};
use broker_window::{Moment, Purpose, Who};
use rdkafka::message::OwnedHeaders;

use crate::burial::millis;
use crate::client::Client;
use crate::codec;
use crate::producer::{Handing, Producer, Record};
use crate::session::{Peeked, Session};
use crate::topic::Topic;

/// The id that the message had in its stream.
const ORIGIN: &str = "broker-retry-origin";
/// How often it was delivered.
const ATTEMPTS: &str = "broker-retry-attempts";
/// When it is to come again, in milliseconds since 1970.
const DUE: &str = "broker-retry-due";
/// How long it was to wait, in milliseconds: a clock that was set back keeps it no longer than that.
const DELAY: &str = "broker-retry-delay";
const JUST_BELOW_A_MILLISECOND: Duration = Duration::from_nanos(999_999);
/// When it failed for the first time, in milliseconds since 1970.
const FIRST: &str = "broker-retry-first-failed";
/// When it was stored in its stream, in milliseconds since 1970.
const STORED: &str = "broker-retry-stored";

/// What a record of a retry topic tells of its message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retried {
    /// Its partition and offset in its stream.
    pub(crate) origin: Option<(u32, u64)>,
    /// How often it was delivered before.
    pub(crate) attempts: u32,
    pub(crate) first_failed: Option<SystemTime>,
    /// When it was stored in its stream, in milliseconds since 1970.
    pub(crate) stored: Option<i64>,
    due: Option<SystemTime>,
    delay: Duration,
}

impl Retried {
    /// Takes one of the record's headers in; answers whether it is about the retry.
    pub(crate) fn take(&mut self, name: &str, value: &[u8]) -> bool {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let number = || text.parse().unwrap_or(0);
        let time = |millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
        match name {
            ORIGIN => {
                if let Ok(MessageId::Offset { partition, offset }) = text.parse() {
                    self.origin = Some((partition, offset));
                }
            }
            ATTEMPTS => self.attempts = text.parse().unwrap_or(0),
            DUE => self.due = time(number()),
            DELAY => self.delay = Duration::from_millis(number()),
            FIRST => self.first_failed = time(number()),
            STORED => self.stored = text.parse().ok(),
            _ => return false,
        }
        true
    }

    /// The moment that it is due, by this process's clock.
    pub(crate) fn due(&self, now: Moment) -> Moment {
        let left = self
            .due
            .and_then(|due| due.duration_since(SystemTime::now()).ok());
        now.after(left.unwrap_or_default().min(self.delay))
    }
}

/// Moves deliveries to the retry topic, where they come from after `delay`; one answer per receipt.
///
/// What can't be written there is held in memory, as it would be without the topic.
pub(crate) async fn move_all(
    client: &Arc<Client>,
    session: &Arc<Session>,
    who: Who,
    runs: &[ReceiptRun],
    delay: Duration,
) -> Result<Settlements> {
    let (client, session, runs) = (Arc::clone(client), Arc::clone(session), runs.to_vec());
    // What was written is settled at its source, also when whoever asked for it goes.
    let moving = tokio::spawn(async move { Move { client, session, who }.run(&runs, delay).await });
    moving.await.unwrap_or_else(|failed| {
        use broker_core::{Error, ErrorKind, Retry};
        Err(Error::new(ErrorKind::Unexpected, "a refusal was broken off")
            .retry(Retry::Safe)
            .source(failed))
    })
}

struct Move {
    client: Arc<Client>,
    session: Arc<Session>,
    who: Who,
}

impl Move {
    async fn run(&self, runs: &[ReceiptRun], delay: Duration) -> Result<Settlements> {
        let due = SystemTime::now() + delay;
        let checked = self.session.peek_to_move(runs, self.who, self.client.patience());
        let good = checked
            .iter()
            .filter_map(|(receipt, peeked)| Some((*receipt, peeked.as_ref().ok()?)));
        let mut written = self.write(good, due, delay).await.into_iter();
        let mut answers = Settlements::all(Settled::Nacked, 0);
        for (receipt, peeked) in checked {
            let purpose = match peeked {
                Err(answer) => {
                    answers.push(answer);
                    continue;
                }
                Ok(_) if written.next() == Some(true) => Purpose::Done,
                Ok(_) => {
                    let left = due.duration_since(SystemTime::now()).unwrap_or_default();
                    Purpose::Requeue(self.session.now().after(left.min(delay)), SystemTime::now())
                }
            };
            let settled = self.session.settle(&[receipt.into()], self.who, purpose);
            for answer in settled.iter() {
                answers.push(match answer {
                    Settled::Acked => Settled::Nacked,
                    other => other,
                });
            }
        }
        Ok(answers)
    }

    /// Writes messages to the retry topic; answers for each whether it is there.
    async fn write<'a>(
        &self,
        messages: impl Iterator<Item = (Receipt, &'a Peeked)>,
        due: SystemTime,
        delay: Duration,
    ) -> Vec<bool> {
        let messages: Vec<_> = messages.collect();
        let (Some(topic), false) = (&self.session.places.retry, messages.is_empty()) else {
            return vec![false; messages.len()];
        };
        let producer = match self.client.producer().await {
            Ok(producer) => producer,
            Err(error) => {
                tracing::warn!(%error, topic = %topic.name, "refused messages are held in memory");
                return vec![false; messages.len()];
            }
        };
        let batch = producer.begin(messages.len());
        for (place, (receipt, peeked)) in messages.iter().enumerate() {
            write(&producer, &batch, place, topic, *receipt, peeked, (due, delay)).await;
        }
        batch.done().await;
        let mut stored = vec![true; messages.len()];
        for (place, code, _) in batch.failures() {
            tracing::warn!(%code, topic = %topic.name, "a refused message is held in memory");
            if let Some(stored) = stored.get_mut(place) {
                *stored = false;
            }
        }
        stored
    }
}

async fn write(
    producer: &Producer,
    batch: &Handing<'_>,
    place: usize,
    topic: &Topic,
    receipt: Receipt,
    peeked: &Peeked,
    (due, delay): (SystemTime, Duration),
) {
    let missing = Message::default();
    let message = peeked.chunk.message(peeked.index).unwrap_or(&missing);
    let origin = peeked.chunk.id(peeked.index, &receipt);
    let partition = match origin {
        MessageId::Offset { partition, .. } => partition % topic.partitions.max(1),
        _ => 0,
    };
    let first = peeked.first_failed.unwrap_or_else(SystemTime::now);
    let stored = peeked.chunk.stored_at(peeked.index);
    let about = [
        (ORIGIN, Some(origin.to_string())),
        (ATTEMPTS, Some(receipt.attempt.to_string())),
        // Rounded up: it must not come early.
        (DUE, Some(millis(due + JUST_BELOW_A_MILLISECOND).to_string())),
        (
            DELAY,
            Some(
                delay
                    .saturating_add(JUST_BELOW_A_MILLISECOND)
                    .as_millis()
                    .to_string(),
            ),
        ),
        (FIRST, Some(millis(first).to_string())),
        (STORED, stored.map(|stored| millis(stored).to_string())),
    ];
    let about = about
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes())));
    let headers = codec::headers(message).unwrap_or_else(|| OwnedHeaders::new_with_capacity(6));
    let record = Record {
        topic: &topic.name,
        partition: i32::try_from(partition).ok(),
        key: message.message_key().map(|key| &**key),
        payload: Some(message.payload()),
        headers: Some(codec::with(headers, about)),
    };
    producer.send(batch, place, record).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried(due: SystemTime, delay: Duration) -> Retried {
        let mut retried = Retried::default();
        for (name, value) in [
            (DUE, millis(due).to_string()),
            (DELAY, delay.as_millis().to_string()),
            (ORIGIN, "2:40".to_owned()),
            (ATTEMPTS, "3".to_owned()),
        ] {
            assert!(retried.take(name, value.as_bytes()));
        }
        assert!(!retried.take("trace", b"7"));
        retried
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_message_longer_than_its_delay() {
        let (now, delay) = (Moment(5), Duration::from_secs(3));
        let far = retried(SystemTime::now() + Duration::from_secs(3600), delay);
        assert_eq!(far.due(now), now.after(delay));
        assert_eq!((far.origin, far.attempts), (Some((2, 40)), 3));
        let past = retried(SystemTime::now() - Duration::from_secs(3600), delay);
        assert_eq!(past.due(now), now);
    }

    #[test]
    fn what_another_program_writes_into_the_topic_is_a_message_that_is_due() {
        let mut retried = Retried::default();
        for name in [ORIGIN, ATTEMPTS, DUE, DELAY, FIRST, STORED] {
            assert!(retried.take(name, b"\xff tea"));
        }
        assert_eq!(retried.due(Moment(5)), Moment(5));
        assert_eq!((retried.origin, retried.attempts), (None, 0));
    }
}
