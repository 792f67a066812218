//! What was published, delivered and settled, message by message, and what does not add up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use broker_core::broker::Delivery;
use broker_core::{Broker, Message, MessageId, Published, Settled};

use crate::{CheckResult, Stop, Verdict};

/// What was published, delivered and settled, message by message.
///
/// Each message carries run, publisher, sequence number and key in its payload, with a checksum; so a delivery is told
/// to be the one that was published, a corrupted one, or a foreign one, whatever the broker did to its headers.
///
/// ```
/// use broker_testkit::{CheckResult, Trial};
///
/// async fn nothing_is_lost(t: &Trial) -> CheckResult {
///     let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
///     let ledger = t.ledger();
///     for _ in 0..t.scale(100, 1000) {
///         ledger.publish(&broker, &stream).await?;
///     }
///     for delivery in t.read(&broker, &stream, &group, t.scale(100, 1000)).await? {
///         ledger.ack(&delivery).await?;
///     }
///     t.note(ledger.verify_ordered()?); // what is wrong ends the check
///     Ok(())
/// }
/// # let _ = nothing_is_lost;
/// ```
#[derive(Debug)]
pub struct Ledger {
    tag: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: BTreeMap<u32, u64>,
    entries: BTreeMap<Entry, Fate>,
    groups: BTreeMap<String, BTreeMap<Entry, Seen>>,
    /// Per group, publisher and key: the highest sequence whose first delivery came.
    highest: BTreeMap<(String, u32, String), u64>,
    verdict: Verdict,
}

/// A message, as the ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Who published it.
    pub publisher: u32,
    /// The how-manieth of that publisher, from zero.
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Handed out to be published; a message that is never published counts for nothing.
    Made,
    Stored,
    NotSent,
    /// May be stored: a delivery is fine, and so is none.
    Unknown,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    deliveries: u64,
    excused: u64,
    acked: bool,
}

impl State {
    fn seen(&mut self, group: &str, entry: Entry) -> &mut Seen {
        self.groups
            .entry(group.to_owned())
            .or_default()
            .entry(entry)
            .or_default()
    }

    /// Notes a delivery; answers whether the message is one of this ledger.
    fn delivered(&mut self, group: &str, entry: Entry, key: &str) -> bool {
        let fate = self.entries.get(&entry).copied();
        match fate {
            None => {
                self.verdict.foreign += 1;
                return false;
            }
            // What the broker says it does not have has no business being delivered.
            Some(Fate::NotSent) => self.verdict.foreign += 1,
            Some(Fate::Made | Fate::Stored | Fate::Unknown) => {}
        }
        let seen = self.seen(group, entry);
        seen.deliveries += 1;
        let (first, explained) = (seen.deliveries == 1, !seen.acked && seen.excused > 0);
        if first {
            self.verdict.delivered += 1;
            // One that may be stored has no promised place either: it may still have been on its way.
            if fate == Some(Fate::Unknown) {
                return true;
            }
            let highest = self
                .highest
                .entry((group.to_owned(), entry.publisher, key.to_owned()))
                .or_default();
            if entry.sequence < *highest {
                self.verdict.reordered += 1;
            } else {
                *highest = entry.sequence;
            }
        } else if explained {
            seen.excused -= 1;
            self.verdict.redelivered += 1;
        } else {
            self.verdict.duplicated += 1;
        }
        true
    }
}

impl Ledger {
    pub(crate) fn new(run: &str, check: &str) -> Self {
        Self {
            tag: format!("{run}/{check}"),
            state: Mutex::default(),
        }
    }

    /// The next message of a publisher, with a key and at least `size` bytes of payload.
    #[must_use]
    pub fn message_of(&self, publisher: u32, key: Option<&str>, size: usize) -> Message {
        let mut state = self.state();
        let next = state.next.entry(publisher).or_default();
        let entry = Entry {
            publisher,
            sequence: *next,
        };
        *next += 1;
        state.entries.insert(entry, Fate::Made);
        let mut body = format!(
            "{}|{publisher}|{}|{}|",
            self.tag,
            entry.sequence,
            key.unwrap_or_default()
        );
        while body.len() + CHECKSUM < size {
            body.push('.');
        }
        let checksum = crc32fast::hash(body.as_bytes());
        let message = Message::text(format!("{body}{checksum:0CHECKSUM$x}"));
        match key {
            Some(key) => message.key(key.to_owned()),
            None => message,
        }
    }

    /// The next message of publisher 0, without a key.
    #[must_use]
    pub fn message(&self) -> Message {
        self.message_of(0, None, 0)
    }

    /// Publishes the next message of publisher 0.
    ///
    /// # Errors
    ///
    /// What publishing answers.
    pub async fn publish(&self, broker: &Broker, stream: &str) -> CheckResult<MessageId> {
        let message = self.message();
        let published = broker.publish_batch(stream, vec![message.clone()]).await?;
        self.published(&[message], &published);
        published
            .into_ids()?
            .pop()
            .ok_or_else(|| Stop::failed("publishing answered for no message"))
    }

    /// Publishes the next `count` messages of a publisher in one batch, with `keys` in turn.
    ///
    /// # Errors
    ///
    /// What publishing answers, and [`Stop::Failed`] where a message is not stored.
    pub async fn publish_many(
        &self,
        broker: &Broker,
        stream: &str,
        publisher: u32,
        keys: &[String],
        count: usize,
    ) -> CheckResult<Vec<MessageId>> {
        let mut turn = keys.iter().cycle();
        let messages: Vec<_> = (0..count)
            .map(|_| self.message_of(publisher, turn.next().map(String::as_str), 0))
            .collect();
        let published = broker.publish_batch(stream, messages.clone()).await?;
        if published.len() != count {
            return Err(Stop::failed(format!(
                "publishing {count} messages answered for {}",
                published.len()
            )));
        }
        self.published(&messages, &published);
        Ok(published.into_ids()?)
    }

    /// Notes what publishing answered.
    pub fn published(&self, messages: &[Message], published: &Published) {
        let mut state = self.state();
        for (index, message) in messages.iter().enumerate() {
            let fate = match published.outcome(index) {
                Some(broker_core::Outcome::Stored(_)) => Fate::Stored,
                Some(broker_core::Outcome::NotSent(_)) => Fate::NotSent,
                Some(broker_core::Outcome::Unknown(_)) | None => Fate::Unknown,
            };
            if let Some(entry) = self.read(message) {
                state.entries.insert(entry, fate);
            }
        }
    }

    /// Notes a delivery to a group.
    pub fn delivered(&self, group: &str, message: &Message) -> Option<Entry> {
        let mut state = self.state();
        let Some(entry) = self.read(message) else {
            let counter = match self.is_alike(message) {
                true => &mut state.verdict.corrupted,
                false => &mut state.verdict.foreign,
            };
            *counter += 1;
            return None;
        };
        let key = String::from_utf8_lossy(message.message_key().map_or(&[], |key| key));
        state.delivered(group, entry, &key).then_some(entry)
    }

    /// Notes a delivery that another process told of.
    pub(crate) fn delivered_elsewhere(&self, group: &str, entry: Entry, key: &str) -> bool {
        self.state().delivered(group, entry, key)
    }

    /// Notes a delivery in another process of a message that is not of this ledger, or corrupted.
    pub(crate) fn strange_elsewhere(&self, foreign: bool) {
        let mut state = self.state();
        match foreign {
            true => state.verdict.foreign += 1,
            false => state.verdict.corrupted += 1,
        }
    }

    /// Notes that a message may come once more to a group: it was nacked, or its lease ended, or there was a fault.
    pub fn excuse(&self, group: &str, message: &Message) {
        if let Some(entry) = self.read(message) {
            self.excuse_entry(group, entry);
        }
    }

    pub(crate) fn excuse_entry(&self, group: &str, entry: Entry) {
        self.state().seen(group, entry).excused += 1;
    }

    /// Notes an ack's answer.
    pub fn settled(&self, group: &str, message: &Message, answer: Settled) {
        if let (Settled::Acked, Some(entry)) = (answer, self.read(message)) {
            self.acked_entry(group, entry);
        }
    }

    pub(crate) fn acked_entry(&self, group: &str, entry: Entry) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.seen(group, entry).acked, true) {
            state.verdict.acked += 1;
        }
    }

    /// Notes that an ack was forgotten before it was written down, as the broker says it may be.
    pub(crate) fn forgot_entry(&self, group: &str, entry: Entry) {
        let mut state = self.state();
        if std::mem::take(&mut state.seen(group, entry).acked) {
            state.verdict.acked -= 1;
        }
    }

    /// How many came out of order so far.
    pub(crate) fn reordered(&self) -> u64 {
        self.state().verdict.reordered
    }

    /// What is stored for certain.
    pub(crate) fn stored(&self) -> Vec<Entry> {
        let state = self.state();
        let stored = state.entries.iter().filter(|(_, fate)| **fate == Fate::Stored);
        stored.map(|(entry, _)| *entry).collect()
    }

    /// Notes a delivery, acks it, and notes the answer.
    ///
    /// # Errors
    ///
    /// What acking answers.
    pub async fn ack(&self, delivery: &Delivery) -> CheckResult<Settled> {
        let group = delivery.group().as_str();
        self.delivered(group, delivery.message());
        let answer = delivery.ack().await?;
        self.settled(group, delivery.message(), answer);
        Ok(answer)
    }

    /// The sums as they stand.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let state = self.state();
        let count = |fate| state.entries.values().filter(|found| **found == fate).count() as u64;
        let lost: usize = state
            .groups
            .values()
            .map(|seen| {
                let missing = |entry: &&Entry| seen.get(*entry).is_none_or(|seen| seen.deliveries == 0);
                let stored = state.entries.iter().filter(|(_, fate)| **fate == Fate::Stored);
                stored.map(|(entry, _)| entry).filter(missing).count()
            })
            .sum();
        Verdict {
            published: count(Fate::Stored),
            unknown: count(Fate::Unknown),
            lost: lost as u64,
            ..state.verdict.clone()
        }
    }

    /// The sums, where nothing is lost, corrupted, foreign or duplicated without a reason.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] with the sums.
    #[track_caller]
    pub fn verify(&self) -> CheckResult<Verdict> {
        let verdict = self.verdict();
        let wrong = verdict.lost + verdict.duplicated + verdict.corrupted + verdict.foreign;
        if wrong > 0 || verdict.delivered == 0 {
            return Err(Stop::failed(verdict));
        }
        Ok(verdict)
    }

    /// As [`verify`](Self::verify), and each publisher's messages of one key came in order.
    ///
    /// # Errors
    ///
    /// [`Stop::Failed`] with the sums.
    #[track_caller]
    pub fn verify_ordered(&self) -> CheckResult<Verdict> {
        let verdict = self.verify()?;
        if verdict.reordered > 0 {
            return Err(Stop::failed(verdict));
        }
        Ok(verdict)
    }

    /// Which message this is; `None` for one that is not of this ledger, or corrupted.
    #[must_use]
    pub fn read(&self, message: &Message) -> Option<Entry> {
        let text = std::str::from_utf8(message.payload()).ok()?;
        let (body, checksum) = text.split_at_checked(text.len().checked_sub(CHECKSUM)?)?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut fields = body.strip_prefix(&self.tag)?.strip_prefix('|')?.split('|');
        let entry = Entry {
            publisher: fields.next()?.parse().ok()?,
            sequence: fields.next()?.parse().ok()?,
        };
        let key = message.message_key().map_or(&[][..], |key| key);
        (fields.next()?.as_bytes() == key).then_some(entry)
    }

    /// Whether it begins as this ledger's messages do: one that does and can't be read is corrupted.
    pub(crate) fn is_alike(&self, message: &Message) -> bool {
        message.payload().starts_with(self.tag.as_bytes())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digits of the checksum that end each payload.
const CHECKSUM: usize = 8;

#[cfg(test)]
mod tests;
