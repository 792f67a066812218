//! Mode `queue`: leases, attempts and settlement beside a list that any program may push to.
//!
//! A message is moved from the list into a log by the server, and stays there until every group has settled it. What a
//! group has in hand is a table beside the log: settling by place costs the same however much is pending, and tells
//! two messages of the same bytes apart, which removing from a list by value does not.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{Disposition, Membership};
use broker_core::{
    Capabilities, ConsumerName, Error, Receipt, ReceiptRun, Result, Settled, Settlements, StartPosition,
};

use crate::client::SharedClient;
use crate::config::{Mode, RedisPubsubConfig};
use crate::error;
use crate::keys::Keys;
use crate::place::{self, Place};
use crate::reader::{Look, Taken};
use crate::scripts::{self, Scripts};

/// What answers a read, for people.
const READING: &str = "the script that reads a queue";

/// A group of a queue.
pub(crate) struct QueueGroup(Place);

impl QueueGroup {
    pub(crate) fn new(
        client: SharedClient,
        scripts: Arc<Scripts>,
        keys: Keys,
        member: Membership,
        config: &RedisPubsubConfig,
    ) -> Self {
        Self(Place::new(client, scripts, keys, member, config.history))
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
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
        let Place {
            client,
            scripts,
            keys,
            member,
            ..
        } = &self.0;
        let group = self.0.group();
        let mut call = scripts.queue_take.prepare();
        call.key(&keys.list)
            .key(&keys.log)
            .key(&keys.meta)
            .key(&keys.groups)
            .key(keys.pending(group))
            .key(keys.again(group))
            .key(keys.state(group))
            .key(&keys.seen);
        call.arg(group)
            .arg(member.consumer.as_str())
            .arg(max)
            .arg(milliseconds(member.lease))
            .arg(self.0.history)
            .arg(keys.state_prefix());
        let Some(mut parts) = place::parts(client.run(&call).await?, READING)? else {
            return Ok(None);
        };
        let fence = scripts::number(parts.next())?;
        let next = scripts::number(parts.next())?;
        let due = scripts::signed(parts.next())?;
        let lost = scripts::number(parts.next())?;
        let mut taken = Vec::with_capacity(parts.len() / 4);
        while let Some(sequence) = parts.next() {
            let receipt = Receipt {
                partition: 0,
                sequence: scripts::number(Some(sequence))?,
                attempt: u32::try_from(scripts::number(parts.next())?).unwrap_or(u32::MAX),
                major: scripts::number(parts.next())?,
                fence,
            };
            let body = parts.next().ok_or_else(|| error::odd_reply(READING))?;
            taken.push(Taken {
                receipt,
                body: scripts::bytes(body)?,
            });
        }
        self.0.moved(next, lost);
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
            Disposition::DeadLetter | Disposition::WornOut => {
                return Err(Error::unsupported(Capabilities::DEAD_LETTER_QUEUE));
            }
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
        let Place {
            client,
            scripts,
            keys,
            ..
        } = &self.0;
        let group = self.0.group();
        let mut call = scripts.queue_settle.prepare();
        call.key(&keys.meta)
            .key(&keys.groups)
            .key(keys.pending(group))
            .key(keys.again(group))
            .key(keys.state(group));
        call.arg(group)
            .arg(consumer.as_str())
            .arg(how)
            .arg(milliseconds(by))
            .arg(&keys.wake);
        for ReceiptRun { first, len } in runs {
            call.arg(first.sequence)
                .arg(*len)
                .arg(first.major)
                .arg(first.fence);
        }
        let answers: Vec<u8> = client.run(&call).await?;
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
        self.make_at(place::word(start)?).await
    }

    async fn make_at(&self, start: &str) -> Result<bool> {
        let Place {
            client,
            scripts,
            keys,
            ..
        } = &self.0;
        let mut call = scripts.queue_make.prepare();
        call.key(&keys.list)
            .key(&keys.log)
            .key(&keys.meta)
            .key(&keys.groups);
        // A number that no earlier group of this name had, so that receipts of that one reach nothing here.
        let fence = fastrand::u64(1..1 << 52);
        call.arg(self.0.group()).arg(start).arg(fence);
        scripts::register(client, Mode::Queue, &self.0.member.stream).await?;
        client.run(&call).await
    }

    async fn make_again(&self) -> Result<()> {
        let next = self.0.next();
        if self.make_at(&next.to_string()).await? {
            self.0.made_again(next);
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
