//! Moving a group.

use broker_core::base::Replay;
use broker_core::{GroupName, Result, StartPosition, StreamName, async_trait};

use crate::broker::RedisStreams;
use crate::time::group_start;
use crate::{reply, scripts};

#[async_trait]
impl Replay for RedisStreams {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        let topic = self.client().topic(stream).await?;
        for partition in topic.iter() {
            let group = self.client().group(partition, group);
            let keys = &group.keys;
            let mut call = scripts::SEEK.call(&[&keys.entries, &keys.state, &keys.due, &keys.lanes]);
            call.arg(group.name.as_str()).arg(group_start(position)?);
            let epoch = reply::expect_count(self.client().run(&scripts::SEEK, &call).await?, "seek")?;
            group.learn_epoch(u32::try_from(epoch).unwrap_or(u32::MAX));
            group.nearer.notify_waiters();
        }
        Ok(())
    }
}
