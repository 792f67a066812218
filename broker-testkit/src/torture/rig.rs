//! What a torture run is done to, and by which means.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::Broker;

use super::Member;
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
    /// For how long an ack that was answered may be forgotten with its consumer, where acks are written down together.
    pub forgetful: Option<Duration>,
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
