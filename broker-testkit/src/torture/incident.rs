//! A fault that happened.

use serde::Serialize;

use super::clock::Moment;

/// What can be done to a broker and its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A consumer process is killed without a warning, and another takes its place.
    ConsumerKilled,
    /// A consumer process stands still, longer than its lease, and goes on as if nothing had been.
    ConsumerPaused,
    /// A consumer process leaves the group in good order, and another joins.
    ConsumerLeft,
    /// Consumer processes join and leave, many in a row.
    ConsumersComeAndGo,
    /// The server is killed without a warning and started again.
    ServerKilled,
    /// The server stands still: connections stay and nothing is answered.
    ServerPaused,
    /// All connections are cut, again every 500 ms.
    ConnectionsCut,
    /// A connection is cut in the middle of a reply.
    ReplyCut,
    /// Connections are cut and no new ones accepted.
    ConnectionsRefused,
    /// Bytes are swallowed: connections stay and nothing passes.
    ConnectionsSilent,
    /// Every byte takes longer.
    ConnectionsSlowed,
}

impl Fault {
    /// The fault in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsumerKilled => "consumer killed",
            Self::ConsumerPaused => "consumer paused",
            Self::ConsumerLeft => "consumer left",
            Self::ConsumersComeAndGo => "consumers come and go",
            Self::ServerKilled => "server killed",
            Self::ServerPaused => "server paused",
            Self::ConnectionsCut => "connections cut",
            Self::ReplyCut => "cut in a reply",
            Self::ConnectionsRefused => "connections refused",
            Self::ConnectionsSilent => "connections silent",
            Self::ConnectionsSlowed => "connections slowed",
        }
    }

    /// Whether it befalls one consumer rather than all.
    pub(super) const fn is_of_consumer(self) -> bool {
        matches!(
            self,
            Self::ConsumerKilled | Self::ConsumerPaused | Self::ConsumerLeft | Self::ConsumersComeAndGo
        )
    }
}

/// A fault that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incident {
    pub(super) fault: Fault,
    pub(super) began: Moment,
    pub(super) ended: Moment,
    /// The consumer process it befell.
    pub(super) process: Option<usize>,
}
