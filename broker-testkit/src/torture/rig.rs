//! What a torture run is done to, and by which means.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::Broker;

use super::{Member, Positions};
use crate::{NetProxy, ServerControl};

/// What a torture run is done to, and by which means; a part that is missing leaves its faults out.
#[non_exhaustive]
pub struct Rig {
    /// What the publishers use.
    pub broker: Broker,
    /// How to start a process that runs [`Member::consume`] on the same server until its standard input ends.
    pub member: Box<dyn Fn(&Member) -> Command + Send + Sync>,
    /// The server, where it is there to be killed and paused.
    pub server: Option<Arc<dyn ServerControl>>,
    /// The proxy that all connections go through.
    pub proxy: Option<Arc<dyn NetProxy>>,
    /// How soon an ack that was answered is written down, where acks are written down together.
    pub forgetful: Option<Forgetful>,
    /// Whether what is refused is written anew before the original is given up, so that a fault in between leaves it there
    /// twice.
    pub copies: bool,
    /// Who can ask the server what a group has settled.
    pub positions: Option<Arc<dyn Positions>>,
    /// Whether consumers that come and go move work among those that stay, so that many of them in a row are a fault.
    pub rebalances: bool,
}

/// How soon an ack that was answered is written down, where acks are written down together: what keeps its consumer from
/// that may have the message come again, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Forgetful {
    /// After so long it is written down, where all is well.
    pub written: Duration,
    /// For so long acks are answered although none can be written down; the next one waits.
    pub answered: Duration,
    /// For so long after server or connections failed a consumer may go on without noticing.
    pub unnoticed: Duration,
}

impl Rig {
    /// A broker that is disturbed only by what happens to its consumers.
    pub fn new(broker: Broker, member: impl Fn(&Member) -> Command + Send + Sync + 'static) -> Self {
        Self {
            broker,
            member: Box::new(member),
            server: None,
            proxy: None,
            forgetful: None,
            copies: false,
            positions: None,
            rebalances: false,
        }
    }

    /// Whether anything but consumers can be disturbed.
    pub(super) fn has_faults(&self) -> bool {
        self.server.is_some() || self.proxy.is_some()
    }
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig")
            .field("broker", &self.broker)
            .field("server", &self.server.is_some())
            .field("proxy", &self.proxy.is_some())
            .finish_non_exhaustive()
    }
}
