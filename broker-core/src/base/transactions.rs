//! Optional family: transactions.

use std::sync::Arc;

use super::Settle;
use crate::async_trait;
use crate::values::{Message, Published, Result, StreamName, TransactorName};

/// Optional family, with [`TRANSACTIONS`](crate::Capabilities::TRANSACTIONS): publishes and settlements that become
/// visible together, or not at all.
#[async_trait]
pub trait Transactions: Send + Sync {
    /// Opens the transactor of that name, which is one all over the cluster.
    ///
    /// # Contract
    ///
    /// - Whoever opened it before is fenced when this returns: what it had not committed never becomes visible, and all
    ///   that it commits from now on answers [`Fenced`](crate::ErrorKind::Fenced).
    async fn transactor(&self, name: &TransactorName) -> Result<Arc<dyn Transact>>;
}

/// An opened transactor.
#[async_trait]
pub trait Transact: Send + Sync + 'static {
    /// Does all of `work`, visible together, or nothing of it. Answers for each element of `work.publish`, all stored.
    ///
    /// # Contract
    ///
    /// - An error with [`Retry::Unknown`](crate::Retry::Unknown) says that nobody knows whether it was done, and then no
    ///   delivery in it is handed out again before that is known. Any other error says that nothing was done: every
    ///   delivery in it is as it was.
    /// - A delivery that can't be settled as done fails the whole with [`Stale`](crate::ErrorKind::Stale).
    /// - Dropping the future may leave it done or not, never in part.
    /// - Calls may come from many tasks at once; a transactor that can do one at a time lets the others wait.
    async fn commit(&self, work: Work<'_>) -> Result<Vec<Published>>;
}

/// What one transaction does.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// What to publish, in order; each stream once.
    pub publish: &'a [(StreamName, Vec<Message>)],
    /// Which deliveries are done; each consumer once.
    pub settle: &'a [Settle<'a>],
}
