//! What a law runs on.

use std::sync::Arc;

use broker::Brokers;
use futures_util::future::LocalBoxFuture;

/// A kind of broker, as the laws need it.
pub trait Kind: Send + Sync + 'static {
    /// Opens it for a law: the same streams each time it is asked for one law.
    fn open(&self, law: &'static str) -> Brokers;

    /// Keeps the dead letters of a group from being written, of which one is there.
    fn bar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()>;

    /// Lets them be written again.
    fn unbar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()>;
}

/// Whose dead letters are not to be written.
#[derive(Clone, Debug)]
pub struct Barred {
    /// Where the group is.
    pub brokers: Brokers,
    /// Its stream.
    pub stream: &'static str,
    /// The group.
    pub group: &'static str,
}

/// Where one law runs: a broker, and streams on it that no other law has.
pub(crate) struct Stage {
    pub(crate) kind: Arc<dyn Kind>,
    law: &'static str,
}

impl Stage {
    pub(crate) fn new(law: &'static str, kind: Arc<dyn Kind>) -> Self {
        Self { kind, law }
    }

    /// The broker, opened once more.
    pub(crate) fn brokers(&self) -> Brokers {
        self.kind.open(self.law)
    }

    /// The name of a stream on this stage; it lasts, so that all tasks of a law have it.
    pub(crate) fn stream(&self, name: &str) -> &'static str {
        format!("{}.{name}", self.law).leak()
    }
}
