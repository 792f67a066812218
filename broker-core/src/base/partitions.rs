//! Optional family: partitions.

use crate::async_trait;
use crate::values::{GroupName, PartitionInfo, Result, StreamName};

/// Optional family, with [`STREAM_PARTITIONING`](crate::Capabilities::STREAM_PARTITIONING): a stream's partitions.
#[async_trait]
pub trait Partitions: Send + Sync {
    /// How many partitions the stream has; a key belongs to
    /// [`partition_for_key`](crate::partition_for_key)`(key, count)` unless the provider's documentation says otherwise.
    async fn count(&self, stream: &StreamName) -> Result<u32>;

    /// The partitions as `group` sees them, by number.
    async fn assignments(&self, stream: &StreamName, group: &GroupName) -> Result<Vec<PartitionInfo>>;
}
