//! What having nothing to do costs.

use serde::Serialize;

/// A process with so many subscriptions and nothing to do.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// How many streams, each with a publisher and a subscription.
    pub streams: usize,
    /// Commands a second for each subscription.
    pub commands: f64,
    /// Connections to the server.
    pub connections: usize,
    /// Tasks of the runtime.
    pub tasks: usize,
    /// The most that is asked for: commands, connections, tasks.
    pub asked: (f64, usize, usize),
}
