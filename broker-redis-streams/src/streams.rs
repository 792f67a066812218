//! Streams as an operator sees them.

use broker_core::base::Streams;
use broker_core::{GroupName, MessageId, Result, StreamInfo, StreamName, async_trait};
use redis::Value;

use crate::broker::RedisStreams;
use crate::keys::STREAMS;
use crate::time::EntryId;
use crate::{error, reply};

#[async_trait]
impl Streams for RedisStreams {
    async fn list(&self) -> Result<Vec<StreamName>> {
        let mut ask = redis::cmd("SMEMBERS");
        ask.arg(STREAMS);
        let names = reply::items(self.client().command(&ask).await?, "SMEMBERS")?;
        let names = names.iter().filter_map(reply::text).map(StreamName::new);
        let mut streams: Vec<_> = names.filter_map(Result::ok).collect();
        streams.sort();
        Ok(streams)
    }

    async fn info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let mut ask = redis::cmd("XINFO");
        ask.arg("STREAM").arg(stream.as_str());
        let info = match self.client().command(&ask).await {
            Err(missing) if error::is_missing_group(&missing) => return Ok(None),
            info => info?,
        };
        Ok(Some(StreamInfo {
            stream: stream.clone(),
            messages: reply::count_field(&info, "length").unwrap_or(0),
            partitions: 1,
            first: id_of(reply::field(&info, "first-entry")),
            last: id_of(reply::field(&info, "last-entry")),
        }))
    }

    async fn delete(&self, stream: &StreamName) -> Result<bool> {
        let client = self.client();
        let keys = client.stream(stream).await?;
        let mut ask = redis::cmd("SMEMBERS");
        ask.arg(&keys.groups);
        let groups = reply::items(client.command(&ask).await?, "SMEMBERS")?;
        let mut delete = redis::cmd("DEL");
        delete.arg(&keys.delayed).arg(&keys.groups);
        for group in groups.iter().filter_map(reply::text).map(GroupName::new) {
            let group = keys.group(&group?);
            let mut lanes = redis::cmd("SMEMBERS");
            lanes.arg(&group.lanes);
            for lane in reply::items(client.command(&lanes).await?, "SMEMBERS")? {
                if let Some(lane) = reply::bytes(lane) {
                    let mut key = format!("{}:", group.lanes).into_bytes();
                    key.extend_from_slice(&lane);
                    delete.arg(key);
                }
            }
            delete
                .arg(&group.state)
                .arg(&group.due)
                .arg(&group.leases)
                .arg(&group.dead)
                .arg(&group.lanes);
        }
        client.command(&delete).await?;
        let mut remove = redis::cmd("DEL");
        remove.arg(&keys.entries);
        let removed = reply::expect_count(client.command(&remove).await?, "DEL")?;
        let mut index = redis::cmd("SREM");
        index.arg(STREAMS).arg(stream.as_str());
        client.command(&index).await?;
        client.forget_stream(stream);
        Ok(removed > 0)
    }
}

/// The id of an entry as `XINFO STREAM` shows it.
fn id_of(entry: Option<&Value>) -> Option<MessageId> {
    let Value::Array(parts) = entry? else {
        return None;
    };
    let id = EntryId::parse(reply::text(parts.first()?)?.as_bytes())?;
    Some(id.to_message_id())
}
