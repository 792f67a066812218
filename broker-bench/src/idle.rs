//! What having nothing to do costs.

use serde::Serialize;

/// A process with so many subscriptions and nothing to do.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    /// How many streams, each with a publisher and a subscription.
    pub(crate) streams: usize,
    /// Commands a second for each subscription.
    pub(crate) commands: f64,
    /// Connections to the server.
    pub(crate) connections: usize,
    /// Tasks of the runtime.
    pub(crate) tasks: usize,
    /// The most that is asked for: commands, connections, tasks.
    pub(crate) asked: (f64, usize, usize),
}
