//! A stream's partitions.

use broker_core::base::Partitions;
use broker_core::{ConsumerName, GroupName, PartitionInfo, Result, StreamName, async_trait};

use crate::broker::Kafka;
use crate::groups;
use crate::places::is_retry;

#[async_trait]
impl Partitions for Kafka {
    async fn count(&self, stream: &StreamName) -> Result<u32> {
        Ok(self.client().topic(stream).await?.partitions)
    }

    async fn assignments(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<PartitionInfo>> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        groups::commit(client, stream, group).await?;
        let mut infos = Vec::new();
        let places = groups::positions(client, stream, group, &topic).await?;
        for place in places.into_iter().filter(|place| !is_retry(place.number)) {
            infos.push(PartitionInfo {
                partition: place.number,
                owner: None,
                generation: place.generation,
                lag: place.lag,
            });
        }
        for (member, numbers) in groups::owners(client, stream, group, &topic).await? {
            for info in infos.iter_mut().filter(|info| numbers.contains(&info.partition)) {
                info.owner = ConsumerName::new(&member).ok();
            }
        }
        Ok(infos)
    }
}
