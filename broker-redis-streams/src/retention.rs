//! Removing old messages.

use broker_core::base::{Retention, TrimTo, Trimmed};
use broker_core::{BrokerEvent, GroupName, Result, StreamName, async_trait};

use crate::broker::RedisStreams;
use crate::time::EntryId;
use crate::{error, reply, scripts};

#[async_trait]
impl Retention for RedisStreams {
    async fn trim(&self, stream: &StreamName, to: &TrimTo, force: bool) -> Result<Trimmed> {
        let topic = self.client().topic(stream).await?;
        let keys: Vec<_> = topic.iter().map(|partition| partition.entries.as_str()).collect();
        let (what, value) = match to {
            TrimTo::Length(length) => ("length", length.to_string()),
            TrimTo::Id(id) => ("id", EntryId::of(id)?.to_string()),
            TrimTo::Time(time) => ("id", EntryId::at(*time).to_string()),
        };
        let mut call = scripts::TRIM.call(&keys);
        call.arg(what).arg(value).arg(u8::from(force));
        let answer = self.client().run(&scripts::TRIM, &call).await?;
        let mut parts = reply::items(answer, "trim")?.into_iter();
        let removed = parts.next().as_ref().and_then(reply::count);
        let mut trimmed = Trimmed {
            removed: removed.ok_or_else(|| error::odd_reply("trim"))?,
            lost: 0,
        };
        while let (Some(group), Some(lost)) = (parts.next(), parts.next()) {
            let lost = reply::count(&lost).unwrap_or(0);
            trimmed.lost += lost;
            if let Some(Ok(group)) = reply::text(&group).map(GroupName::new) {
                self.client().context.events.send(BrokerEvent::MessagesLost {
                    stream: stream.clone(),
                    group,
                    count: lost,
                });
            }
        }
        Ok(trimmed)
    }
}
