//! A reader of its own that belongs to no group.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{BoxFuture, Deliveries, ReadEndpoint};
use broker_core::{Error, Result, StartPosition};
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Pipeline;
use tokio::time::Instant;

use crate::client::Client;
use crate::entry::{self, Entries, Entry};
use crate::keys::StreamKeys;
use crate::time::{EntryId, group_start, millis};
use crate::{error, reply, scripts};

/// How long one look lasts: messages that another process delayed are due in between.
const SLICE: Duration = Duration::from_secs(1);

/// A reader of its own: it sees every message and settles none.
pub(crate) struct Listener {
    client: Arc<Client>,
    keys: Arc<StreamKeys>,
    /// The last entry that was handed out. It moves only with a hand-out, so that a dropped read loses nothing.
    after: tokio::sync::Mutex<EntryId>,
}

impl Listener {
    /// A listener that sees all that is published after this returns, and from `start` on before that.
    pub(crate) async fn new(
        client: &Arc<Client>,
        keys: &Arc<StreamKeys>,
        start: &StartPosition,
    ) -> Result<Self> {
        let after = match start {
            // `$` means something else in each read: it is resolved once, to the newest entry there is now.
            StartPosition::Latest => newest(client, keys).await?,
            start => EntryId::parse(group_start(start)?.as_bytes()).unwrap_or_default(),
        };
        Ok(Self {
            client: Arc::clone(client),
            keys: Arc::clone(keys),
            after: tokio::sync::Mutex::new(after),
        })
    }

    pub(crate) async fn next(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        self.client.check_open()?;
        if max == 0 {
            return Ok(Deliveries::new());
        }
        let deadline = Instant::now() + wait.min(Duration::from_secs(86_400));
        let Ok(mut after) = tokio::time::timeout_at(deadline, self.after.lock()).await else {
            return Ok(Deliveries::new());
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut closing = std::pin::pin!(self.client.closing.notified());
            closing.as_mut().enable();
            self.client.check_open()?;
            let entries = tokio::select! {
                entries = self.look(*after, max, left) => entries?,
                () = closing => return Err(Error::closed()),
            };
            if let Some(last) = entries.last() {
                *after = last.id;
                let for_all: Vec<_> = entries
                    .into_iter()
                    .filter(|entry| entry.only_for.is_none())
                    .collect();
                if !for_all.is_empty() {
                    return Ok(Entries::deliver(self.keys.number(), for_all, |_| 0));
                }
            } else if Instant::now() >= deadline {
                return Ok(Deliveries::new());
            }
        }
    }

    /// Moves delayed messages that are due, as a group's readers do; answers how long until the next one is.
    async fn move_delayed(&self) -> Result<Duration> {
        let call = scripts::MOVE.call(&[&self.keys.entries, &self.keys.delayed]);
        let wait = reply::number(&self.client.run(&scripts::MOVE, &call).await?);
        Ok(wait
            .and_then(|wait| u64::try_from(wait).ok())
            .map_or(Duration::MAX, |wait| Duration::from_millis(wait.max(1))))
    }

    async fn look(&self, after: EntryId, max: usize, left: Duration) -> Result<Vec<Entry>> {
        let due = self.move_delayed().await?;
        let slice = self.client.redis.slice(self.client.config.block_slice).min(SLICE);
        let block = slice.min(left).min(due);
        let mut pipeline = Pipeline::with_capacity(1);
        let command = pipeline.cmd("XREAD").arg("COUNT").arg(max);
        if !block.is_zero() {
            command.arg("BLOCK").arg(millis(block).max(1));
        }
        command
            .arg("STREAMS")
            .arg(&self.keys.entries)
            .arg(after.to_string());
        let mut place = self.client.reading_place(&self.keys.entries).await?;
        let answers = place
            .ask(&pipeline, block + self.client.config.response_timeout)
            .await?;
        let answer = answers
            .into_iter()
            .next()
            .ok_or_else(|| error::odd_reply("XREAD"))?;
        entry::of_stream(answer, "XREAD")
    }
}

/// The newest id that the stream has given out, also where its entry was removed.
async fn newest(client: &Client, keys: &StreamKeys) -> Result<EntryId> {
    let mut ask = redis::cmd("XINFO");
    ask.arg("STREAM").arg(&keys.entries);
    match client.command(&ask).await {
        Ok(info) => {
            let last = reply::field(&info, "last-generated-id").and_then(reply::text);
            last.and_then(|last| EntryId::parse(last.as_bytes()))
                .ok_or_else(|| error::odd_reply("XINFO STREAM"))
        }
        // There is no stream yet.
        Err(refused) if refused.kind() == broker_core::ErrorKind::NotFound => Ok(EntryId::default()),
        Err(refused) => Err(refused),
    }
}

/// A listener over all partitions of a stream.
pub(crate) struct StreamListener(pub(crate) Vec<Listener>);

impl StreamListener {
    async fn next(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        if let [listener] = self.0.as_slice() {
            return listener.next(max, wait).await;
        }
        // A dropped look has taken nothing: what it would have found is there for the next one.
        let mut looks: FuturesUnordered<_> = self.0.iter().map(|listener| listener.next(max, wait)).collect();
        while let Some(found) = looks.next().await {
            let deliveries = found?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
        Ok(Deliveries::new())
    }
}

impl ReadEndpoint for StreamListener {
    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.next(max, wait))
    }

    fn settles(&self) -> bool {
        false
    }
}
