//! Partitions.

use broker_core::base::Partitions;
use broker_core::{Capabilities, GroupName, PartitionInfo, Result, StreamName, async_trait};

use crate::broker::InlineBroker;

#[async_trait]
impl Partitions for InlineBroker {
    async fn count(&self, _: &StreamName) -> Result<u32> {
        self.session.check(Capabilities::STREAM_PARTITIONING)?;
        Ok(self.session.hub.limits.partitions)
    }

    async fn assignments(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<PartitionInfo>> {
        self.session.check(Capabilities::STREAM_PARTITIONING)?;
        let stream = self.session.expect_stream(stream)?;
        stream.admit(self.session.hub.clock.now());
        let group = stream.expect_group(group)?;
        Ok(stream.assignments(&group))
    }
}
