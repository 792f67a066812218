//! What an operator does with streams and groups.

use std::time::Duration;

use super::broker::Broker;
use crate::base::{TrimTo, Trimmed};
use crate::values::{
    Capabilities, ConsumerName, Error, GroupInfo, GroupName, PartitionInfo, Result, StartPosition,
    StreamInfo, StreamName,
};

/// Streams and groups, as an operator sees them.
///
/// ```
/// use broker::prelude::*;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.create_group("orders", "billing", StartPosition::Earliest).await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
/// assert_eq!(broker.groups("orders").await?[0].lag, 1);
///
/// broker.seek("orders", "billing", StartPosition::Latest).await?; // none of what was published before
/// assert!(broker.wait_until_drained("orders", "billing", Duration::from_secs(1)).await?);
/// assert!(broker.delete_group("orders", "billing", false).await?);
/// # Ok(())
/// # }
/// ```
impl Broker {
    /// Makes a group that starts at `start`; answers `false` where it was there, and then changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `CONSUMER_GROUPS`, and what the connection answers.
    pub async fn create_group<S, G>(&self, stream: S, group: G, start: StartPosition) -> Result<bool>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let (stream, group) = (
            self.stream_name(stream, "create group")?,
            self.group_name(group, "create group")?,
        );
        let families = self.shared.base.families();
        let groups = self
            .shared
            .family(families.groups, Capabilities::CONSUMER_GROUPS, "create group")?;
        self.shared
            .call("create group", || groups.create(&stream, &group, &start))
            .await
    }

    /// The groups of a stream with members, pending and lag, by name.
    ///
    /// # Errors
    ///
    /// As [`create_group`](Self::create_group).
    pub async fn groups<S>(&self, stream: S) -> Result<Vec<GroupInfo>>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "list groups")?;
        let groups = self.shared.family(
            self.shared.base.families().groups,
            Capabilities::CONSUMER_GROUPS,
            "list groups",
        )?;
        self.shared.call("list groups", || groups.list(&stream)).await
    }

    /// Removes a group; answers `false` where there was none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Throttled`](crate::ErrorKind::Throttled) where deliveries are pending and `force` is not set.
    pub async fn delete_group<S, G>(&self, stream: S, group: G, force: bool) -> Result<bool>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let (stream, group) = (
            self.stream_name(stream, "delete group")?,
            self.group_name(group, "delete group")?,
        );
        let groups = self.shared.family(
            self.shared.base.families().groups,
            Capabilities::CONSUMER_GROUPS,
            "delete group",
        )?;
        let deleted = self
            .shared
            .call("delete group", || groups.delete(&stream, &group, force))
            .await?;
        self.members.forget(&(stream, group));
        Ok(deleted)
    }

    /// Removes a member of a group; what it had in hand goes to the others first. Answers how many messages.
    ///
    /// # Errors
    ///
    /// As [`create_group`](Self::create_group).
    pub async fn remove_consumer<S, G, C>(&self, stream: S, group: G, consumer: C) -> Result<u64>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        C: TryInto<ConsumerName>,
        Error: From<S::Error> + From<G::Error> + From<C::Error>,
    {
        let (stream, group) = (
            self.stream_name(stream, "remove consumer")?,
            self.group_name(group, "remove consumer")?,
        );
        let consumer = consumer
            .try_into()
            .map_err(|error| Error::from(error).operation("remove consumer"))?;
        let groups = self.shared.family(
            self.shared.base.families().groups,
            Capabilities::CONSUMER_GROUPS,
            "remove consumer",
        )?;
        self.shared
            .call("remove consumer", || {
                groups.remove_consumer(&stream, &group, &consumer)
            })
            .await
    }

    /// Moves a group to `position`; other groups stay, and receipts handed out before are stale.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `REPLAY`;
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where there is no such group.
    pub async fn seek<S, G>(&self, stream: S, group: G, position: StartPosition) -> Result<()>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let (stream, group) = (self.stream_name(stream, "seek")?, self.group_name(group, "seek")?);
        let replay = self
            .shared
            .family(self.shared.base.families().replay, Capabilities::REPLAY, "seek")?;
        self.shared
            .call("seek", || replay.seek(&stream, &group, &position))
            .await
    }

    /// The streams this broker knows, by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the broker can't list them.
    pub async fn streams(&self) -> Result<Vec<StreamName>> {
        let streams = self.shared.family(
            self.shared.base.families().streams,
            Capabilities::SUBSCRIBE,
            "list streams",
        )?;
        self.shared.call("list streams", || streams.list()).await
    }

    /// What a stream looks like; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`streams`](Self::streams).
    pub async fn stream_info<S>(&self, stream: S) -> Result<Option<StreamInfo>>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "describe stream")?;
        let streams = self.shared.family(
            self.shared.base.families().streams,
            Capabilities::SUBSCRIBE,
            "describe stream",
        )?;
        self.shared
            .call("describe stream", || streams.info(&stream))
            .await
    }

    /// Removes a stream with its groups and dead letters; answers `false` where there was none.
    ///
    /// # Errors
    ///
    /// As [`streams`](Self::streams).
    pub async fn delete_stream<S>(&self, stream: S) -> Result<bool>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "delete stream")?;
        let streams = self.shared.family(
            self.shared.base.families().streams,
            Capabilities::SUBSCRIBE,
            "delete stream",
        )?;
        let deleted = self
            .shared
            .call("delete stream", || streams.delete(&stream))
            .await?;
        self.members.forget_stream(&stream);
        self.shared.forget_stream(&stream);
        Ok(deleted)
    }

    /// Removes the oldest messages, but none that a group still needs unless `force` is set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `RETENTION`.
    pub async fn trim<S>(&self, stream: S, to: TrimTo, force: bool) -> Result<Trimmed>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "trim")?;
        let retention = self.shared.family(
            self.shared.base.families().retention,
            Capabilities::RETENTION,
            "trim",
        )?;
        self.shared
            .call("trim", || retention.trim(&stream, &to, force))
            .await
    }

    /// How many partitions a stream has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `STREAM_PARTITIONING`.
    pub async fn partition_count<S>(&self, stream: S) -> Result<u32>
    where
        S: TryInto<StreamName>,
        Error: From<S::Error>,
    {
        let stream = self.stream_name(stream, "count partitions")?;
        let families = self.shared.base.families();
        let partitions = self.shared.family(
            families.partitions,
            Capabilities::STREAM_PARTITIONING,
            "count partitions",
        )?;
        self.shared
            .call("count partitions", || partitions.count(&stream))
            .await
    }

    /// A stream's partitions as a group sees them: owner, generation, lag.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) without `STREAM_PARTITIONING`.
    pub async fn partitions<S, G>(&self, stream: S, group: G) -> Result<Vec<PartitionInfo>>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        let (stream, group) = (
            self.stream_name(stream, "list partitions")?,
            self.group_name(group, "list partitions")?,
        );
        let families = self.shared.base.families();
        let partitions = self.shared.family(
            families.partitions,
            Capabilities::STREAM_PARTITIONING,
            "list partitions",
        )?;
        self.shared
            .call("list partitions", || partitions.assignments(&stream, &group))
            .await
    }

    /// Waits until `group` has nothing left to do on `stream`: no lag and nothing pending; answers whether that
    /// happened within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`groups`](Self::groups).
    pub async fn wait_until_drained<S, G>(&self, stream: S, group: G, timeout: Duration) -> Result<bool>
    where
        S: TryInto<StreamName>,
        G: TryInto<GroupName>,
        Error: From<S::Error> + From<G::Error>,
    {
        /// Often enough for a person, and rarely enough for a server.
        const POLL: Duration = Duration::from_millis(20);
        let (stream, group) = (
            self.stream_name(stream, "drain")?,
            self.group_name(group, "drain")?,
        );
        let watch = async {
            loop {
                let groups = self.groups(&stream).await?;
                let busy = groups
                    .iter()
                    .find(|info| info.group == group)
                    .is_some_and(|info| info.pending + info.lag > 0);
                if !busy {
                    return Ok(true);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(timeout, watch).await.unwrap_or(Ok(false))
    }
}
