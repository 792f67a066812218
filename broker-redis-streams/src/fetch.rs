//! Reading new entries on a connection of its own.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use broker_core::Result;
use broker_redis_common::Place;
use redis::{Pipeline, Value};
use tokio::time::Instant;

use crate::entry::{self, Entry};
use crate::lane::Arrived;
use crate::reader::Hands;
use crate::time::millis;
use crate::{error, reply, scripts};

impl Hands {
    /// Reads entries that nobody in the group has had yet, on a connection of its own.
    pub(crate) async fn read_new(&self, max: usize, block: Duration) -> Result<Arrived> {
        let keys = &self.group.keys;
        let mut place = self.client.watching_place(&keys.entries, &keys.state).await?;
        if !self.attended.load(Relaxed) {
            // Whoever asked has gone while there was no connection: it would be handed what nobody waits for.
            return Ok(Arrived::nothing());
        }
        let (since, expected) = (Instant::now(), self.group.epoch());
        self.blocked.store(place.ticket(), Relaxed);
        let answers = if self.is_sequential() {
            self.ask_sequential(&mut place, max, block).await
        } else {
            self.ask_and_watch(&mut place, max, block).await
        };
        self.blocked.store(0, Relaxed);
        drop(place);
        let Some((found, epoch, token)) = answers? else {
            self.busy.store(false, Relaxed);
            return Ok(Arrived::nothing());
        };
        let entries = if self.is_sequential() {
            entry::of_range(found, "XREADGROUP")?
        } else {
            entry::of_stream(found, "XREADGROUP")?
        };
        self.group.learn_epoch(epoch);
        self.busy.store(!entries.is_empty(), Relaxed);
        let mut arrived = Arrived::new(since, epoch, entries);
        // Read after the entries as well: only one that did not change meanwhile is certainly theirs.
        arrived.token = self.group.learn_token(token).then_some(token);
        if arrived.entries.is_empty() {
            return Ok(arrived);
        }
        if epoch != expected {
            // The group was moved meanwhile: which of these still belong to it, only the server can tell.
            self.give_back(&arrived).await?;
            arrived.entries.clear();
        }
        self.pass_over(&mut arrived).await?;
        Ok(arrived)
    }

    /// The command that reads new entries.
    fn read_group(&self, pipeline: &mut Pipeline, max: usize, block: Duration) {
        let command = pipeline
            .cmd("XREADGROUP")
            .arg("GROUP")
            .arg(self.group.name.as_str())
            .arg(self.member.consumer.as_str())
            .arg("COUNT")
            .arg(max);
        if !block.is_zero() {
            // Zero would mean for ever.
            command.arg("BLOCK").arg(millis(block).max(1));
        }
        command.arg("STREAMS").arg(&self.group.keys.entries).arg(">");
    }

    /// Sends a read, and has the connection watch the group's state, on which the acks of what is read depend.
    async fn ask_and_watch(
        &self,
        place: &mut Place,
        max: usize,
        block: Duration,
    ) -> Result<Option<(Value, u32, u32)>> {
        if !self.busy.load(Relaxed) {
            return self.ask_idle(place, max, block).await;
        }
        let state = &self.group.keys.state;
        let mut pipeline = Pipeline::with_capacity(4);
        if place.is_watching() {
            // A change that was seen before would spoil the next transaction.
            pipeline.cmd("UNWATCH");
            place.unwatch();
        }
        pipeline.cmd("WATCH").arg(state);
        let before = pipeline.len();
        self.read_group(&mut pipeline, max, block);
        let (mut answers, epoch, token) = self.ask_with_epoch(place, pipeline, block).await?;
        let found = answers.split_off(before.min(answers.len())).pop();
        // Without the right to watch, acks go by the script.
        if matches!(answers.last(), Some(Value::Okay)) {
            place.watching(state, token);
        }
        let found = found.ok_or_else(|| error::odd_reply("XREADGROUP"))?;
        Ok(Some((found, epoch, token)))
    }

    /// Sends a read where the one before found nothing: only if this one does, there is a reason to ask for the epoch,
    /// and soon something to ack.
    async fn ask_idle(
        &self,
        place: &mut Place,
        max: usize,
        block: Duration,
    ) -> Result<Option<(Value, u32, u32)>> {
        let mut pipeline = Pipeline::with_capacity(1);
        self.read_group(&mut pipeline, max, block);
        let deadline = block + self.client.config.response_timeout;
        let mut answers = place.ask(&pipeline, deadline).await?;
        let found = answers.pop().ok_or_else(|| error::odd_reply("XREADGROUP"))?;
        if matches!(found, Value::Nil) {
            return Ok(None);
        }
        let found = reply::granted(found)?;
        let nothing_more = Pipeline::with_capacity(1);
        let (_, epoch, token) = self.ask_with_epoch(place, nothing_more, Duration::ZERO).await?;
        Ok(Some((found, epoch, token)))
    }

    /// Sends a read, and learns the epoch after it: if that is the one known before, the entries belong to it.
    async fn ask_with_epoch(
        &self,
        place: &mut Place,
        mut pipeline: Pipeline,
        block: Duration,
    ) -> Result<(Vec<Value>, u32, u32)> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(&self.group.keys.state).arg("epoch").arg("fast");
        pipeline.add_command(ask.clone());
        let deadline = block + self.client.config.response_timeout;
        let mut answers = place.ask(&pipeline, deadline).await?;
        let state = match answers.pop().ok_or_else(|| error::odd_reply("HMGET"))? {
            // Its key is on its way to another node; what was read is here and must not wait for the end of its lease.
            Value::ServerError(_) => self.client.command(&ask).await?,
            state => state,
        };
        let state = reply::items(state, "HMGET")?;
        let number = |at: usize| {
            let number = state.get(at).and_then(reply::count).unwrap_or(0);
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        Ok((answers, number(0), number(1)))
    }

    /// Reads by the script that parks keys. A script can't block: news is waited for without taking it.
    async fn ask_sequential(
        &self,
        place: &mut Place,
        max: usize,
        block: Duration,
    ) -> Result<Option<(Value, u32, u32)>> {
        let keys = &self.group.keys;
        let mut call = scripts::SEQUENTIAL.call(&[&keys.entries, &keys.due, &keys.lanes]);
        call.arg(self.group.name.as_str())
            .arg(self.member.consumer.as_str())
            .arg(max);
        let mut left = block;
        loop {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.add_command(call.clone());
            let (mut answers, epoch, token) = self.ask_with_epoch(place, pipeline, Duration::ZERO).await?;
            let found = answers.pop().ok_or_else(|| error::odd_reply("read"))?;
            match found {
                Value::ServerError(refusal) if refusal.code() == "NOSCRIPT" => {
                    place.teach(&scripts::SEQUENTIAL).await?;
                }
                Value::Array(entries) if entries.is_empty() && !left.is_zero() => {
                    self.wait_for_news(place, left).await?;
                    left = Duration::ZERO;
                }
                found => return Ok(Some((reply::granted(found)?, epoch, token))),
            }
        }
    }

    /// Waits until the stream has an entry that the group was not handed yet.
    async fn wait_for_news(&self, place: &mut Place, block: Duration) -> Result<()> {
        let delivered = self.client.delivered(&self.group).await?;
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("XREAD")
            .arg("COUNT")
            .arg(1)
            .arg("BLOCK")
            .arg(millis(block).max(1))
            .arg("STREAMS")
            .arg(&self.group.keys.entries)
            .arg(delivered);
        place
            .ask(&pipeline, block + self.client.config.response_timeout)
            .await
            .map(|_| ())
    }

    /// Settles what is meant for another group.
    async fn pass_over(&self, arrived: &mut Arrived) -> Result<()> {
        let name = self.group.name.as_str().as_bytes();
        let foreign = |entry: &Entry| entry.only_for.as_deref().is_some_and(|group| group != name);
        if !arrived.entries.iter().any(foreign) {
            return Ok(());
        }
        let mut ack = redis::cmd("XACK");
        ack.arg(&self.group.keys.entries).arg(name);
        for entry in arrived.entries.iter().filter(|entry| foreign(entry)) {
            ack.arg(entry.id.to_string());
        }
        self.client.command(&ack).await?;
        arrived.entries.retain(|entry| !foreign(entry));
        Ok(())
    }

    /// Gives back what arrived and was not handed out.
    pub(crate) async fn give_back(&self, arrived: &Arrived) -> Result<()> {
        let pairs: Vec<_> = arrived
            .entries
            .iter()
            .map(|entry| (entry.id, entry.count))
            .collect();
        self.park(&pairs, arrived.epoch).await
    }
}
