//! What a law runs on.

use std::sync::Arc;

use broker::Brokers;

/// Opens the brokers of a law: the same streams each time it is called for one law.
pub(crate) type Open = Arc<dyn Fn(&'static str) -> Brokers + Send + Sync>;

/// Where one law runs: a broker, and streams on it that no other law has.
pub(crate) struct Stage {
    law: &'static str,
    open: Open,
}

impl Stage {
    pub(crate) fn new(law: &'static str, open: Open) -> Self {
        Self { law, open }
    }

    /// The broker, opened once more.
    pub(crate) fn brokers(&self) -> Brokers {
        (self.open)(self.law)
    }

    /// The name of a stream on this stage; it lasts, so that all tasks of a law have it.
    pub(crate) fn stream(&self, name: &str) -> &'static str {
        format!("{}.{name}", self.law).leak()
    }
}
