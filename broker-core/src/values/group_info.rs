//! What streams, groups and partitions look like from outside.

use std::time::Duration;

use serde::Serialize;

use super::{ConsumerName, GroupName, MessageId, StreamName};

/// A stream as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamName,
    /// How many messages are kept.
    pub messages: u64,
    /// How many partitions it has.
    pub partitions: u32,
    /// The oldest message kept.
    pub first: Option<MessageId>,
    /// The newest message kept.
    pub last: Option<MessageId>,
}

/// A group as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    /// Its name.
    pub group: GroupName,
    /// Its members.
    pub members: Vec<MemberInfo>,
    /// Messages handed out and not settled, or waiting to be handed out again.
    pub pending: u64,
    /// Messages published and never handed out to this group.
    pub lag: u64,
    /// How long the oldest unsettled delivery has been out.
    pub oldest_pending: Option<Duration>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberInfo {
    /// Its name.
    pub consumer: ConsumerName,
    /// Deliveries it holds.
    pub pending: u64,
    /// How long ago it last read or settled.
    pub idle: Duration,
}

/// A partition as one group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// Its number, from zero.
    pub partition: u32,
    /// The consumer that owns it, where partitions are owned.
    pub owner: Option<ConsumerName>,
    /// Rises with each change of owner; what carries an older one is refused.
    pub generation: u64,
    /// Messages published to it and never handed out to this group.
    pub lag: u64,
}
