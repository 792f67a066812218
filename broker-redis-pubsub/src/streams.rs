//! Streams as an operator sees them.

use std::collections::BTreeSet;

use broker_core::base::Streams;
use broker_core::{MessageId, Result, StreamInfo, StreamName, async_trait};

use crate::broker::RedisPubsub;
use crate::codec;
use crate::keys::Keys;

#[async_trait]
impl Streams for RedisPubsub {
    async fn list(&self) -> Result<Vec<StreamName>> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(Keys::index(self.mode()));
        let names: BTreeSet<String> = self.client().ask(&command).await?;
        names.into_iter().map(StreamName::new).collect()
    }

    async fn info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let keys = self.keys(stream);
        let mut pipe = redis::pipe();
        pipe.cmd("SISMEMBER")
            .arg(Keys::index(self.mode()))
            .arg(stream.as_str());
        pipe.cmd("HGET").arg(&keys.meta).arg("base");
        for list in [&keys.log, &keys.list] {
            pipe.cmd("LLEN").arg(list);
            pipe.cmd("LINDEX").arg(list).arg(0);
            pipe.cmd("LINDEX").arg(list).arg(-1);
        }
        type Bytes = Option<Vec<u8>>;
        let (known, base, log, oldest, last, list, first, newest): (
            bool,
            Option<u64>,
            u64,
            Bytes,
            Bytes,
            u64,
            Bytes,
            Bytes,
        ) = self.client().ask_all(&pipe).await?;
        let (base, messages) = (base.unwrap_or(0), log + list);
        if !known && messages == 0 {
            return Ok(None);
        }
        let id = |body: Bytes, offset: u64| {
            let place = MessageId::Offset { partition: 0, offset };
            body.map(|body| codec::decode(body).0.unwrap_or(place))
        };
        Ok(Some(StreamInfo {
            stream: stream.clone(),
            messages,
            partitions: 1,
            first: id(oldest.or(first), base),
            last: id(newest.or(last), (base + messages).saturating_sub(1)),
        }))
    }

    async fn delete(&self, stream: &StreamName) -> Result<bool> {
        let keys = self.keys(stream);
        let mut command = redis::cmd("HKEYS");
        command.arg(&keys.groups);
        let groups: Vec<String> = self.client().ask(&command).await?;
        let mut pipe = redis::pipe();
        pipe.cmd("SREM")
            .arg(Keys::index(self.mode()))
            .arg(stream.as_str());
        let all = pipe.cmd("DEL");
        for key in [&keys.list, &keys.log, &keys.meta, &keys.groups, &keys.seen] {
            all.arg(key);
        }
        for group in &groups {
            all.arg(keys.pending(group))
                .arg(keys.again(group))
                .arg(keys.state(group));
        }
        let (known, removed): (u64, u64) = self.client().ask_all(&pipe).await?;
        if self.is_protean() && !groups.is_empty() {
            let mut positions = redis::cmd("DEL");
            for group in &groups {
                positions.arg(keys.protean_position(group));
            }
            self.client().ask::<u64>(&positions).await?;
        }
        Ok(known + removed > 0)
    }
}
