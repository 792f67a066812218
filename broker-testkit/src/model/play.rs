//! One sequence of operations, done by a broker and judged by the reference.

use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Broker, Capabilities, ErrorKind, Message, MessageId, Selection, Settled, StartPosition};
use proptest::sample::Index;
use tokio::time::Instant;

use super::compare::{number_of, same};
use super::item::{Name, Span};
use super::operation::{GROUPS, How, MEMBERS, Operation, To, Wait};
use super::reference::{Handed, Judgement, Reference};
use crate::trial::POLL;
use crate::{Harness, Options, VirtualClock};

/// Of the latest so many deliveries one is settled.
const LATEST: usize = 8;

/// Why a message is refused, to be found with its dead letter.
pub(super) const REASON: &str = "refused at random";

/// One sequence of operations on a stream of its own.
pub(super) struct Play<'a> {
    clock: Option<&'a dyn VirtualClock>,
    pub(super) eventual: Duration,
    lease: Duration,
    start: Instant,
    flags: Capabilities,
    partitions: u32,
    pub(super) shows_groups: bool,
    members: Vec<Broker>,
    pub(super) stream: String,
    groups: Vec<String>,
    ids: Vec<MessageId>,
    handed: Vec<(Handed, Delivery)>,
    pub(super) reference: Reference,
}

/// What goes wrong beside the laws: the broker's own errors are differences too.
pub(super) fn told(error: broker_core::Error) -> String {
    error.to_string()
}

/// The lease of the members: long on a clock that stands still, else as short as the harness says.
pub(super) fn lease(harness: &dyn Harness) -> Duration {
    match harness.clock() {
        Some(_) => Duration::from_secs(10),
        None => harness.timing().lease,
    }
}

impl<'a> Play<'a> {
    /// Opens the members.
    pub(super) async fn open(harness: &'a dyn Harness, name: &str) -> Judgement<Self> {
        let lease = lease(harness);
        let options = |member: usize| {
            Options::new()
                .consumer(&format!("{name}-{member}"))
                .lease(lease)
                .max_retries(1_000_000)
                .retry_delay(lease.mul_f64(0.3))
                .set("backoff_multiplier", 1.0)
                .set("jitter", false)
        };
        let mut members = Vec::new();
        for member in 0..MEMBERS {
            let broker = harness.open(&options(member)).map_err(told)?;
            broker.ensure_connection().await.map_err(told)?;
            members.push(broker);
        }
        let flags = members.first().map(Broker::capabilities).unwrap_or_default();
        let mut play = Self {
            clock: harness.clock(),
            eventual: harness.timing().eventual,
            lease,
            start: Instant::now(),
            flags,
            partitions: 1,
            shows_groups: true,
            members,
            stream: name.to_owned(),
            groups: (0..GROUPS).map(|group| format!("{name}-g{group}")).collect(),
            ids: Vec::new(),
            handed: Vec::new(),
            reference: Reference::new(flags, lease, GROUPS),
        };
        if flags.contains(Capabilities::STREAM_PARTITIONING) {
            play.partitions = play.member(0)?.partition_count(name).await.map_err(told)?;
        }
        if !flags.contains(Capabilities::REPLAY) {
            // Without history, where a group starts is told by nothing but being there before the messages.
            for group in 0..GROUPS {
                play.read(group, 0, 0).await?;
            }
        }
        Ok(play)
    }

    /// Does one operation, and judges what came of it.
    pub(super) async fn perform(&mut self, operation: &Operation) -> Judgement {
        match operation {
            Operation::Publish { key, count } => self.publish(*key, *count).await?,
            Operation::Read { group, member, max } => self.read(*group, *member, *max).await?,
            Operation::Settle { delivery, how } => self.settle(delivery, *how).await?,
            Operation::Wait(Wait::Shortly) => self.wait(self.lease.mul_f64(0.41)).await,
            Operation::Wait(Wait::OverLeases) => self.wait(self.lease.mul_f64(1.13)).await,
            Operation::Create { group, latest } => self.create(*group, *latest).await?,
            Operation::Seek { group, to } => self.seek(*group, to).await?,
            Operation::Replay { group, which } => self.replay(*group, which.as_ref()).await?,
            Operation::Purge { group, which } => self.purge(*group, which.as_ref()).await?,
        }
        for group in 0..GROUPS {
            self.compare_sums(group).await?;
        }
        Ok(())
    }

    /// Hands out and acks whatever is left, so that nothing lost goes unseen.
    pub(super) async fn drain(&mut self) -> Judgement {
        for group in (0..GROUPS)
            .filter(|group| self.reference.exists(*group))
            .collect::<Vec<_>>()
        {
            let mut rounds = 0;
            while self.reference.undone(group) > 0 {
                rounds += 1;
                if rounds > 1_000 {
                    return Err(format!("group {group} still has work after {rounds} reads"));
                }
                let before = self.handed.len();
                self.read(group, 0, 100).await?;
                let fresh: Vec<_> = (before..self.handed.len()).collect();
                if fresh.is_empty() {
                    self.wait(self.lease.mul_f64(1.13)).await;
                }
                if self.flags.contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                    for place in fresh {
                        self.settle_at(place, How::Ack).await?;
                    }
                }
            }
            self.read(group, 1, 100).await?;
            self.compare_sums(group).await?;
        }
        Ok(())
    }

    /// Removes the stream and closes the members.
    pub(super) async fn close(self) -> Judgement {
        if let Ok(member) = self.member(0)
            && let Err(error) = member.delete_stream(&self.stream).await
            && error.kind() != ErrorKind::Unsupported
        {
            return Err(told(error));
        }
        for member in &self.members {
            member.close().await.map_err(told)?;
        }
        Ok(())
    }

    async fn publish(&mut self, key: Option<u8>, count: usize) -> Judgement {
        let messages = (0..count).map(|_| {
            let message = Message::text(self.reference.publish(key).to_string());
            match key {
                Some(key) => message.key(format!("key-{key}")),
                None => message,
            }
        });
        let messages = messages.collect();
        let published = self
            .member(0)?
            .publish_batch(&self.stream, messages)
            .await
            .map_err(told)?;
        self.ids.extend(published.into_ids().map_err(told)?);
        Ok(())
    }

    async fn read(&mut self, group: usize, member: usize, max: usize) -> Judgement {
        self.reference.create(group, false);
        let until = self.now() + self.eventual;
        loop {
            let from = self.now();
            let due = max > 0 && self.reference.is_due(group, from);
            let broker = self.member(member)?;
            let batch = broker
                .read(&self.stream, self.group(group)?, max)
                .await
                .map_err(told)?;
            let at = Span { from, to: self.now() };
            let count = batch.len();
            if count > max {
                return Err(format!("a read of at most {max} answered {count}"));
            }
            for delivery in batch {
                let name = name_of(&delivery)?;
                let handed = self.reference.deliver(group, name, delivery.attempt(), at)?;
                self.handed.push((handed, delivery));
            }
            if count > 0 || !due {
                return Ok(());
            }
            if from > until {
                return Err(format!(
                    "nothing came to group {group} although there is something"
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn settle(&mut self, delivery: &Index, how: How) -> Judgement {
        let latest = self.handed.len().min(LATEST);
        if latest == 0 {
            return Ok(());
        }
        self.settle_at(self.handed.len() - 1 - delivery.index(latest), how)
            .await
    }

    async fn settle_at(&mut self, place: usize, how: How) -> Judgement {
        let Some((handed, delivery)) = self.handed.get_mut(place) else {
            return Ok(());
        };
        let options = NackOptions::new().reason(REASON);
        let (later, retry_delay) = (self.lease.mul_f64(0.7), self.lease.mul_f64(0.3));
        let from = self.start.elapsed();
        let answer = match how {
            How::Ack => delivery.ack().await,
            How::Nack => delivery.nack_with(options).await,
            How::NackLater => delivery.nack_with(options.delay(later)).await,
            How::GiveBack => delivery.nack_with(options.give_back()).await,
            How::Discard => delivery.nack_with(options.discard()).await,
            How::DeadLetter => delivery.nack_with(options.dead_letter()).await,
        };
        let answer = answer.map_err(told)?;
        let at = Span {
            from,
            to: self.start.elapsed(),
        };
        let delay = if how == How::Nack { retry_delay } else { later };
        self.reference.settle(handed, how, delay, answer, at)?;
        let group = handed.group;
        if how == How::DeadLetter && answer == Settled::Nacked {
            self.compare_dead(group).await?;
        }
        Ok(())
    }

    async fn create(&mut self, group: usize, latest: bool) -> Judgement {
        let start = if latest {
            StartPosition::Latest
        } else {
            StartPosition::Earliest
        };
        let made = self
            .member(0)?
            .create_group(&self.stream, self.group(group)?, start)
            .await;
        match made {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(told(error)),
            Ok(made) => {
                let expected = self.reference.create(group, latest);
                same("whether a group was made", made, expected)
            }
        }
    }

    async fn seek(&mut self, group: usize, to: &To) -> Judgement {
        let (position, from) = match to {
            To::Earliest => (StartPosition::Earliest, 0),
            To::Latest => (StartPosition::Latest, self.reference.messages()),
            To::Message(index) => {
                let count = self.ids.len();
                // One message is a place in its own partition only.
                if count == 0 || self.partitions != 1 {
                    return Ok(());
                }
                let place = index.index(count);
                match self.ids.get(place) {
                    Some(id) => (StartPosition::Id(id.clone()), place),
                    None => return Ok(()),
                }
            }
        };
        if !self.reference.may_seek(group) {
            return Ok(());
        }
        let moved = self
            .member(0)?
            .seek(&self.stream, self.group(group)?, position)
            .await;
        moved.map_err(told)?;
        self.reference.seek(group, from);
        Ok(())
    }

    async fn replay(&mut self, group: usize, which: Option<&Index>) -> Judgement {
        let Some(selection) = self.select(group, which) else {
            return Ok(());
        };
        let dead = self
            .member(0)?
            .dead_letters(&self.stream, self.group(group)?)
            .map_err(told)?;
        let count = dead.replay_selected(&selection).await.map_err(told)?;
        let expected = self
            .reference
            .replay(group, |dead| is_selected(&selection, dead.id.as_ref()));
        same("replayed dead letters", count, expected)?;
        self.compare_dead(group).await
    }

    async fn purge(&mut self, group: usize, which: Option<&Index>) -> Judgement {
        let Some(selection) = self.select(group, which) else {
            return Ok(());
        };
        let dead = self
            .member(0)?
            .dead_letters(&self.stream, self.group(group)?)
            .map_err(told)?;
        let count = dead.purge(&selection).await.map_err(told)?;
        let mut expected = 0;
        if let Some(dead) = self.reference.dead(group) {
            let before = dead.len();
            dead.retain(|dead| !is_selected(&selection, dead.id.as_ref()));
            expected = (before - dead.len()) as u64;
        }
        same("purged dead letters", count, expected)?;
        self.compare_dead(group).await
    }

    /// Some dead letter, or all; `None` where there is no such group, or no dead letter to choose.
    fn select(&mut self, group: usize, which: Option<&Index>) -> Option<Selection> {
        let dead = self.reference.dead(group)?;
        let Some(which) = which else {
            return Some(Selection::All);
        };
        if dead.is_empty() {
            return None;
        }
        let id = dead.get(which.index(dead.len()))?.id.clone()?;
        Some(Selection::Ids(vec![id]))
    }

    async fn wait(&self, by: Duration) {
        match self.clock {
            Some(clock) => clock.advance(by).await,
            None => tokio::time::sleep(by).await,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn member(&self, member: usize) -> Judgement<&Broker> {
        self.members
            .get(member)
            .ok_or_else(|| format!("there is no member {member}"))
    }

    pub(super) fn group(&self, group: usize) -> Judgement<&str> {
        let name = self.groups.get(group).map(String::as_str);
        name.ok_or_else(|| format!("there is no group {group}"))
    }
}

fn is_selected(selection: &Selection, id: Option<&MessageId>) -> bool {
    match selection {
        Selection::Ids(ids) => id.is_some_and(|id| ids.contains(id)),
        Selection::All | Selection::Before(_) => true,
    }
}

fn name_of(delivery: &Delivery) -> Judgement<Name> {
    let from = delivery.headers().get_str("replayed-from").map_err(told)?;
    Ok(Name {
        number: number_of(delivery.message())?,
        replayed_from: from.map(str::parse).transpose().map_err(told)?,
    })
}
