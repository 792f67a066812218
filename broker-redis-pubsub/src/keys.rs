//! The names of a stream's keys.
//!
//! The list itself is called as the stream, so that any program can push to it. What lies beside it carries the name as
//! hash tag, `{orders}:…`: a cluster keeps it in the same slot, and as no stream's name has braces, none can reach it.

use broker_core::StreamName;

use crate::config::Mode;

/// The names of a stream's keys in one mode.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// What programs push to.
    pub(crate) list: String,
    /// The messages of mode `queue` that some group has been handed.
    pub(crate) log: String,
    /// How many messages were trimmed, and a number for each making of a group.
    pub(crate) meta: String,
    /// Each group's next position.
    pub(crate) groups: String,
    /// When each member was last seen.
    pub(crate) seen: String,
    /// The channel that tells of new messages.
    pub(crate) wake: String,
    prefix: String,
}

impl Keys {
    pub(crate) fn new(mode: Mode, stream: &StreamName) -> Self {
        let prefix = format!("{{{stream}}}:{}:", mode.as_str());
        Self {
            list: stream.as_str().to_owned(),
            log: format!("{prefix}log"),
            meta: format!("{prefix}meta"),
            groups: format!("{prefix}groups"),
            seen: format!("{prefix}seen"),
            wake: format!("{prefix}wake"),
            prefix,
        }
    }

    /// Deliveries by the end of their lease.
    pub(crate) fn pending(&self, group: &str) -> String {
        format!("{}pending:{group}", self.prefix)
    }

    /// What is to be handed out again, by when.
    pub(crate) fn again(&self, group: &str) -> String {
        format!("{}again:{group}", self.prefix)
    }

    /// Attempt, delivery, state and owner of each unsettled message.
    pub(crate) fn state(&self, group: &str) -> String {
        format!("{}state:{group}", self.prefix)
    }

    /// What `state` keys begin with, for scripts that look at each group.
    pub(crate) fn state_prefix(&self) -> String {
        format!("{}state:", self.prefix)
    }

    /// The streams that were published to or read in this mode.
    pub(crate) fn index(mode: Mode) -> String {
        format!("broker:redis_pubsub:{}:streams", mode.as_str())
    }

    /// The position of a group as the Python framework Protean keeps it.
    pub(crate) fn protean_position(&self, group: &str) -> String {
        format!("position:{}:{group}", self.list)
    }
}
