//! What a consumer asks for.

use std::time::Duration;

use crate::values::{ConsumerName, GroupName, Ordering, StartPosition, StreamName};

/// A consumer's place: its stream and group, and how it wants to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The stream.
    pub stream: StreamName,
    /// The group.
    pub group: GroupName,
    /// The member's name.
    pub consumer: ConsumerName,
    /// Where the group starts if it is not there yet.
    pub start: StartPosition,
    /// How redelivery and order go together.
    pub ordering: Ordering,
    /// How long a delivery may stay unsettled before it goes to another consumer.
    pub lease: Duration,
}

/// One read of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// Who reads.
    pub member: &'a Membership,
    /// At most this many messages; zero makes the group if it is not there, and hands out nothing.
    pub max: usize,
    /// How long to wait for the first message; zero does not wait.
    pub wait: Duration,
}
