//! How a subscriber wants its messages.

use std::time::Duration;

use broker_core::{Capabilities, StartPosition};

use crate::retry::RetryPolicy;

/// When a message is settled as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckPolicy {
    /// After the handler succeeded, together with others: at least once, and the fastest of the safe ones.
    #[default]
    OnSuccess,
    /// After the handler succeeded, and its key goes on only once the broker has the ack.
    Each,
    /// Before the handler: at most once. What fails or crashes in the handler is lost.
    First,
    /// By the handler itself, with the [`Delivery`](broker_core::broker::Delivery) that it takes. One that fails is
    /// refused all the same, and one that the handler forgets comes again when its lease ends.
    Manual,
}

/// What becomes of a message that is not what its handler takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUndecodable {
    /// It goes to the dead letters at once.
    #[default]
    DeadLetter,
    /// It is settled as done, and counted.
    Skip,
    /// It is tried again like any failure: for handlers that are being rolled out.
    Retry,
}

/// What a subscriber with several lanes keeps in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderedBy {
    /// Messages of one key are handled one after the other, those of different keys overlap.
    #[default]
    Key,
    /// Nothing: any message may overlap any other.
    Nothing,
}

/// What a subscriber leaves behind when it ends; what is further down removes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AtEnd {
    /// All.
    #[default]
    Keep,
    /// All but the group.
    RemoveGroup,
    /// Nothing.
    RemoveStream,
}

/// All settings of one declared subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) broker: Option<String>,
    pub(crate) stream: String,
    pub(crate) group: String,
    pub(crate) start: StartPosition,
    pub(crate) concurrency: usize,
    pub(crate) ordered_by: OrderedBy,
    pub(crate) sequential: bool,
    pub(crate) prefetch: Option<usize>,
    pub(crate) lease: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) require: Capabilities,
    pub(crate) ack: AckPolicy,
    pub(crate) undecodable: OnUndecodable,
    pub(crate) at_end: AtEnd,
}

impl Settings {
    pub(crate) fn new(stream: String, group: String) -> Self {
        Self {
            broker: None,
            stream,
            group,
            start: StartPosition::Earliest,
            concurrency: 1,
            ordered_by: OrderedBy::Key,
            sequential: false,
            prefetch: None,
            lease: None,
            timeout: None,
            retry: None,
            require: Capabilities::empty(),
            ack: AckPolicy::OnSuccess,
            undecodable: OnUndecodable::DeadLetter,
            at_end: AtEnd::Keep,
        }
    }
}
