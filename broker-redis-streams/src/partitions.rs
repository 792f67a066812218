//! A stream's partitions.

use broker_core::base::Partitions;
use broker_core::{ConsumerName, GroupName, PartitionInfo, Result, StreamName, async_trait};
use redis::Pipeline;

use crate::broker::RedisStreams;
use crate::reply;

#[async_trait]
impl Partitions for RedisStreams {
    async fn count(&self, stream: &StreamName) -> Result<u32> {
        let topic = self.client().topic(stream).await?;
        Ok(u32::try_from(topic.len()).unwrap_or(u32::MAX))
    }

    async fn assignments(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<PartitionInfo>> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        let mut infos = Vec::with_capacity(topic.len());
        for partition in topic.iter() {
            let known = client.group(partition, group);
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline
                .cmd("HGET")
                .arg(&known.keys.owners)
                .arg(partition.partition);
            pipeline.cmd("HGET").arg(&known.keys.state).arg("epoch");
            let mut answers = client.pipeline(&pipeline).await?.into_iter();
            let owner = answers.next().map(reply::granted).transpose()?;
            let epoch = answers.next().map(reply::granted).transpose()?;
            let owner = owner.as_ref().and_then(reply::text).map(ConsumerName::new);
            infos.push(PartitionInfo {
                partition: partition.partition,
                owner: owner.transpose()?,
                generation: epoch.as_ref().and_then(reply::count).unwrap_or(0),
                lag: client.lag(&known).await?,
            });
        }
        Ok(infos)
    }
}
