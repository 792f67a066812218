//! Optional family: groups as an operator sees them.

use crate::async_trait;
use crate::values::{ConsumerName, GroupInfo, GroupName, Result, StartPosition, StreamName};

/// Optional family, with [`CONSUMER_GROUPS`](crate::Capabilities::CONSUMER_GROUPS): making, showing and removing groups.
#[async_trait]
pub trait Groups: Send + Sync {
    /// Makes a group that starts at `start`; answers `false` where it was there, and then changes nothing.
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool>;

    /// The groups of a stream with members, pending and lag, by name.
    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>>;

    /// Removes a group; answers `false` where there was none.
    ///
    /// # Errors
    ///
    /// [`Throttled`](crate::ErrorKind::Throttled) where deliveries are pending and `force` is not set.
    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool>;

    /// Removes a member; what it had in hand goes to the others first. Answers how many messages that were.
    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64>;
}
