//! Streams as an operator sees them.

use broker_core::base::Streams;
use broker_core::{GroupName, MessageId, Result, StreamInfo, StreamName, async_trait};
use redis::Value;

use crate::broker::RedisStreams;
use crate::client::Client;
use crate::keys::{STREAMS, StreamKeys, partition_count};
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
        let topic = self.client().topic(stream).await?;
        let mut whole: Option<StreamInfo> = None;
        for partition in topic.iter() {
            let mut ask = redis::cmd("XINFO");
            ask.arg("STREAM").arg(&partition.entries);
            let info = match self.client().command(&ask).await {
                Err(missing) if error::is_missing_group(&missing) => continue,
                info => info?,
            };
            let end = |name| id_of(reply::field(&info, name), partition.number());
            let (first, last) = (end("first-entry"), end("last-entry"));
            let sum = whole.get_or_insert_with(|| StreamInfo {
                stream: stream.clone(),
                messages: 0,
                partitions: partition.partitions,
                first: None,
                last: None,
            });
            sum.messages += reply::count_field(&info, "length").unwrap_or(0);
            sum.first = sum.first.take().or(first);
            sum.last = last.or(sum.last.take());
        }
        Ok(whole)
    }

    async fn delete(&self, stream: &StreamName) -> Result<bool> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        let mut removed = 0;
        for partition in topic.iter() {
            removed += delete_partition(client, partition).await?;
        }
        if let Some(first) = topic.first() {
            let mut rest = redis::cmd("DEL");
            rest.arg(&first.groups).arg(partition_count(stream));
            client.command(&rest).await?;
        }
        let mut index = redis::cmd("SREM");
        index.arg(STREAMS).arg(stream.as_str());
        client.command(&index).await?;
        client.forget_stream(stream);
        Ok(removed > 0)
    }
}

/// Removes one partition with all that lies beside it; answers whether it was there.
async fn delete_partition(client: &Client, keys: &StreamKeys) -> Result<u64> {
    let mut ask = redis::cmd("SMEMBERS");
    ask.arg(&keys.groups);
    let groups = reply::items(client.command(&ask).await?, "SMEMBERS")?;
    let mut delete = redis::cmd("DEL");
    delete.arg(&keys.delayed);
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
        let own = [&group.state, &group.due, &group.leases, &group.lanes];
        let shared = [&group.dead, &group.owners, &group.members];
        for key in own.into_iter().chain(shared) {
            delete.arg(key);
        }
    }
    client.command(&delete).await?;
    let mut remove = redis::cmd("DEL");
    remove.arg(&keys.entries);
    reply::expect_count(client.command(&remove).await?, "DEL")
}

/// The id of an entry as `XINFO STREAM` shows it.
fn id_of(entry: Option<&Value>, partition: Option<u32>) -> Option<MessageId> {
    let Value::Array(parts) = entry? else {
        return None;
    };
    let id = EntryId::parse(reply::text(parts.first()?)?.as_bytes())?;
    Some(id.to_message_id(partition))
}
