//! Mode `queue`: leases, attempts and settlement beside a list that any program may push to.
//!
//! A message is moved from the list into a log by the server, and stays there until every group has settled it. What a
//! group has in hand is a table beside the log: settling by place costs the same however much is pending, and tells
//! two messages of the same bytes apart, which removing from a list by value does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_core::base::{Disposition, Membership};
use broker_core::{
    BrokerEvent, Capabilities, ConsumerName, Error, MessageId, Receipt, ReceiptRun, Result, Settled,
    Settlements, StartPosition,
};
use redis::Value;

use crate::client::SharedClient;
use crate::config::{Mode, RedisPubsubConfig};
use crate::error;
use crate::keys::Keys;
use crate::reader::{Look, Taken};
use crate::scripts::{self, Scripts};

/// A group of a queue.
pub(crate) struct QueueGroup {
    client: SharedClient,
    scripts: Arc<Scripts>,
    keys: Keys,
    member: Membership,
    history: u64,
    /// The next position, as far as we know; where the group goes on if somebody removes it.
    next: AtomicU64,
}

impl QueueGroup {
    pub(crate) fn new(
        client: SharedClient,
        scripts: Arc<Scripts>,
        keys: Keys,
        member: Membership,
        config: &RedisPubsubConfig,
    ) -> Self {
        Self {
            client,
            scripts,
            keys,
            member,
            history: config.history,
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Hands out what is due again, then what is new.
    pub(crate) async fn take(&self, max: usize) -> Result<Look> {
        if let Some(look) = self.try_take(max).await? {
            return Ok(look);
        }
        self.make_again().await?;
        // Gone again at once: somebody removes it as fast as we make it, and nothing is there for us.
        Ok(self.try_take(max).await?.unwrap_or_default())
    }

    /// `None` where there is no such group.
    async fn try_take(&self, max: usize) -> Result<Option<Look>> {
        let group = self.member.group.as_str();
        let mut call = self.scripts.queue_take.prepare();
        call.key(&self.keys.list)
            .key(&self.keys.log)
            .key(&self.keys.meta)
            .key(&self.keys.groups)
            .key(self.keys.pending(group))
            .key(self.keys.again(group))
            .key(self.keys.state(group))
            .key(&self.keys.seen);
        call.arg(group)
            .arg(self.member.consumer.as_str())
            .arg(max)
            .arg(milliseconds(self.member.lease))
            .arg(self.history)
            .arg(self.keys.state_prefix());
        let answer: Value = self.client.run(&call).await?;
        let Value::Array(parts) = answer else {
            return match answer {
                Value::Nil => Ok(None),
                _ => Err(error::odd_reply("the script that reads a queue")),
            };
        };
        let mut parts = parts.into_iter();
        let fence = scripts::number(parts.next())?;
        let next = scripts::number(parts.next())?;
        let due = scripts::signed(parts.next())?;
        let lost = scripts::number(parts.next())?;
        self.next.store(next, Ordering::Relaxed);
        let mut taken = Vec::with_capacity(parts.len() / 4);
        while let Some(sequence) = parts.next() {
            let receipt = Receipt {
                partition: 0,
                sequence: scripts::number(Some(sequence))?,
                attempt: u32::try_from(scripts::number(parts.next())?).unwrap_or(u32::MAX),
                major: scripts::number(parts.next())?,
                fence,
            };
            let body = parts
                .next()
                .ok_or_else(|| error::odd_reply("the script that reads a queue"))?;
            taken.push(Taken {
                receipt,
                body: scripts::bytes(body)?,
            });
        }
        if lost > 0 {
            self.client.tell(BrokerEvent::MessagesLost {
                stream: self.member.stream.clone(),
                group: self.member.group.clone(),
                count: lost,
            });
        }
        let due = u64::try_from(due).ok().map(Duration::from_millis);
        Ok(Some(Look { taken, due }))
    }

    pub(crate) async fn ack(&self, consumer: &ConsumerName, runs: &[ReceiptRun]) -> Result<Settlements> {
        self.settle(consumer, runs, "ack", Duration::ZERO, Settled::Acked)
            .await
    }

    pub(crate) async fn nack(
        &self,
        consumer: &ConsumerName,
        runs: &[ReceiptRun],
        disposition: Disposition,
    ) -> Result<Settlements> {
        let (how, delay) = match disposition {
            Disposition::Requeue { delay } => ("requeue", delay),
            Disposition::GiveBack => ("give_back", Duration::ZERO),
            Disposition::Discard => ("ack", Duration::ZERO),
            Disposition::DeadLetter => return Err(Error::unsupported(Capabilities::DEAD_LETTER_QUEUE)),
        };
        self.settle(consumer, runs, how, delay, Settled::Nacked).await
    }

    pub(crate) async fn extend(
        &self,
        consumer: &ConsumerName,
        runs: &[ReceiptRun],
        by: Duration,
    ) -> Result<Settlements> {
        self.settle(consumer, runs, "extend", by, Settled::Acked).await
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        runs: &[ReceiptRun],
        how: &str,
        by: Duration,
        done: Settled,
    ) -> Result<Settlements> {
        let group = self.member.group.as_str();
        let mut call = self.scripts.queue_settle.prepare();
        call.key(&self.keys.meta)
            .key(&self.keys.groups)
            .key(self.keys.pending(group))
            .key(self.keys.again(group))
            .key(self.keys.state(group));
        call.arg(group)
            .arg(consumer.as_str())
            .arg(how)
            .arg(milliseconds(by))
            .arg(&self.keys.wake);
        for ReceiptRun { first, len } in runs {
            call.arg(first.sequence)
                .arg(*len)
                .arg(first.major)
                .arg(first.fence);
        }
        let answers: Vec<u8> = self.client.run(&call).await?;
        let mut settlements = Settlements::all(done, 0);
        for answer in answers {
            settlements.push(match answer {
                b'd' => done,
                b's' => Settled::AlreadySettled,
                b'o' => Settled::NotOwner,
                b't' => Settled::Stale,
                b'n' => Settled::NotPending,
                _ => return Err(error::odd_reply("the script that settles")),
            });
        }
        Ok(settlements)
    }

    /// Makes the group if it is not there; answers whether it was made.
    pub(crate) async fn make(&self, start: &StartPosition) -> Result<bool> {
        let start = match start {
            StartPosition::Earliest => "earliest".to_owned(),
            StartPosition::Latest => "latest".to_owned(),
            StartPosition::Id(_) | StartPosition::Time(_) => {
                return Err(Error::unsupported(Capabilities::REPLAY));
            }
        };
        self.make_at(&start).await
    }

    async fn make_at(&self, start: &str) -> Result<bool> {
        let mut call = self.scripts.queue_make.prepare();
        call.key(&self.keys.list)
            .key(&self.keys.log)
            .key(&self.keys.meta)
            .key(&self.keys.groups);
        // A number that no earlier group of this name had, so that receipts of that one reach nothing here.
        let fence = fastrand::u64(1..1 << 52);
        call.arg(self.member.group.as_str()).arg(start).arg(fence);
        scripts::register(&self.client, Mode::Queue, &self.member.stream).await?;
        self.client.run(&call).await
    }

    async fn make_again(&self) -> Result<()> {
        let next = self.next.load(Ordering::Relaxed);
        if self.make_at(&next.to_string()).await? {
            self.client.tell(BrokerEvent::GroupRecreated {
                stream: self.member.stream.clone(),
                group: self.member.group.clone(),
                position: Some(MessageId::Offset {
                    partition: 0,
                    offset: next,
                }),
            });
        }
        Ok(())
    }
}

/// Rounded up: a delay of less than a millisecond is still one.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .min(1 << 50)
}
