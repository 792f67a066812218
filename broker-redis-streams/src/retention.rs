//! Removing old messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use broker_core::base::{Retention, TrimTo, Trimmed};
use broker_core::{BrokerEvent, GroupName, Result, StreamName, async_trait};
use tokio::time::Instant;

use crate::broker::RedisStreams;
use crate::client::{Client, Topic};
use crate::time::{EntryId, millis};
use crate::{error, reply, scripts};

/// How many entries are looked at in one step where settings ask for trimming: the server does nothing else meanwhile.
const STEP: u32 = 2_000;

/// The bounds of how often a stream is looked at for what has become too old.
const AGE_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

#[async_trait]
impl Retention for RedisStreams {
    async fn trim(&self, stream: &StreamName, to: &TrimTo, force: bool) -> Result<Trimmed> {
        let topic = self.client().topic(stream).await?;
        let (what, value) = match to {
            TrimTo::Length(length) => ("length", length.to_string()),
            TrimTo::Id(id) => ("id", EntryId::of(id)?.to_string()),
            TrimTo::Time(time) => ("id", EntryId::at(*time).to_string()),
        };
        let trim = Trim {
            what,
            value,
            force,
            most: u32::MAX,
            exact: true,
        };
        trim.run(self.client(), &topic).await
    }
}

/// One step of trimming.
struct Trim {
    what: &'static str,
    value: String,
    force: bool,
    /// How many entries it looks at.
    most: u32,
    exact: bool,
}

impl Trim {
    async fn run(&self, client: &Client, topic: &Topic) -> Result<Trimmed> {
        let keys: Vec<_> = topic.iter().map(|partition| partition.entries.as_str()).collect();
        let mut call = scripts::TRIM.call(&keys);
        // What is given up has to go, or a reader would find it settled and still there.
        let exact = self.exact || self.force;
        call.arg(self.what)
            .arg(&self.value)
            .arg(u8::from(self.force))
            .arg(self.most)
            .arg(if exact { "=" } else { "~" });
        let answer = client.run(&scripts::TRIM, &call).await?;
        let mut parts = reply::items(answer, "trim")?.into_iter();
        let removed = parts.next().as_ref().and_then(reply::count);
        let mut trimmed = Trimmed {
            removed: removed.ok_or_else(|| error::odd_reply("trim"))?,
            lost: 0,
        };
        while let (Some(group), Some(lost)) = (parts.next(), parts.next()) {
            let lost = reply::count(&lost).unwrap_or(0);
            trimmed.lost += lost;
            client.lost.fetch_add(lost, Ordering::Relaxed);
            if let (Some(Ok(group)), Some(partition)) =
                (reply::text(&group).map(GroupName::new), topic.first())
            {
                client.context.events.send(BrokerEvent::MessagesLost {
                    stream: partition.name.clone(),
                    group,
                    count: lost,
                });
            }
        }
        Ok(trimmed)
    }
}

/// Keeps a stream within the settings' bounds, as messages come.
#[derive(Default)]
pub(crate) struct Keeper {
    /// Messages since the last look at the length.
    published: AtomicU64,
    aged: Mutex<Option<Instant>>,
    busy: AtomicBool,
}

impl Keeper {
    /// Takes note of messages that were published, and trims the stream in the background when it is time to.
    pub(crate) fn published(self: &Arc<Self>, client: &Arc<Client>, topic: &Topic, count: u64) {
        let config = &client.config;
        if config.retention_length.is_none() && config.retention_age.is_none() {
            return;
        }
        let published = self.published.fetch_add(count, Ordering::Relaxed) + count;
        let full = config.retention_length.filter(|length| {
            let step = match config.retention_exact {
                true => 1,
                false => (length / 10).clamp(1, 10_000),
            };
            published >= step
        });
        let old = config.retention_age.filter(|age| self.is_time(*age));
        if full.is_none() && old.is_none() || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (keeper, client, topic) = (Arc::clone(self), Arc::clone(client), Arc::clone(topic));
        let runner = Arc::clone(&client);
        runner.spawn(async move {
            if let Err(error) = keeper.trim(&client, &topic, full, old).await {
                tracing::debug!(%error, "a stream was not trimmed; the next messages bring another try");
            }
            keeper.busy.store(false, Ordering::Release);
        });
    }

    async fn trim(
        &self,
        client: &Client,
        topic: &Topic,
        full: Option<u64>,
        old: Option<Duration>,
    ) -> Result<()> {
        let trim = |what, value: u64| Trim {
            what,
            value: value.to_string(),
            force: client.config.retention_force,
            most: STEP,
            exact: client.config.retention_exact,
        };
        if let Some(age) = old {
            trim("age", millis(age)).run(client, topic).await?;
        }
        if let Some(length) = full {
            loop {
                // Whatever comes meanwhile asks for another look.
                self.published.store(0, Ordering::Relaxed);
                let trimmed = trim("length", length).run(client, topic).await?;
                if trimmed.removed < u64::from(STEP) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn is_time(&self, age: Duration) -> bool {
        let (least, most) = AGE_INTERVAL;
        let mut aged = self.aged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = aged.is_none_or(|last| last.elapsed() >= (age / 20).clamp(least, most));
        if due {
            *aged = Some(Instant::now());
        }
        due
    }
}
