//! The connections of blocking readers.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use broker_core::{Error, Result};
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::Connection;
use crate::error;

/// The shortest time a reader stays at the server when others wait for its connection.
const SHORTEST_SLICE: Duration = Duration::from_millis(10);

/// The connections of blocking readers: at most so many, and more readers than that take turns.
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
    /// Connections that nobody uses, each to the node of that number.
    idle: Mutex<Vec<(usize, Connection)>>,
}

impl Pool {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(size)),
            size,
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// Waits for one's turn.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.waiting);
        Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::closed())
    }

    /// How long a reader may block, so that those who wait for a connection get their turn.
    pub(crate) fn slice(&self, longest: Duration) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting == 0 {
            return longest;
        }
        let share = longest.mul_f64(self.size as f64 / (self.size + waiting) as f64) / 10;
        share.clamp(SHORTEST_SLICE.min(longest), longest)
    }

    /// Sends a command on an idle connection to that node, which goes back before the answer is there: the read that
    /// takes it next follows the command in the same write. Answers `None` where no connection is idle.
    pub(crate) async fn ask_ahead(
        &self,
        node: usize,
        call: &Cmd,
        deadline: Duration,
    ) -> Option<Result<Value>> {
        let connection = self.take_idle(node, None)?;
        Some(
            self.ahead(node, &connection, connection.ask(call), deadline)
                .await,
        )
    }

    /// Sends a transaction as [`ask_ahead`](Self::ask_ahead) does, on an idle connection that has watched `key` since
    /// that had this version. Answers `None` where there is none.
    pub(crate) async fn transact_ahead(
        &self,
        node: usize,
        key: &str,
        version: u32,
        transaction: &Pipeline,
        deadline: Duration,
    ) -> Option<Result<Vec<Value>>> {
        let connection = {
            let mut idle = self.idle();
            let at = idle.iter().rposition(|(other, connection)| {
                *other == node && !connection.is_lost() && connection.watches_since(key, version)
            });
            at.map(|at| idle.remove(at).1)?
        };
        // However the transaction ends, the server forgets what was watched.
        connection.unwatch();
        Some(
            self.ahead(node, &connection, connection.pipeline(transaction), deadline)
                .await,
        )
    }

    async fn ahead<T>(
        &self,
        node: usize,
        connection: &Connection,
        asking: impl Future<Output = Result<T>>,
        deadline: Duration,
    ) -> Result<T> {
        // Its first poll must put it on the connection: behind a read that blocks it would wait as long as that one.
        let asking = tokio::task::coop::unconstrained(asking);
        let mut asking = std::pin::pin!(tokio::time::timeout(deadline, asking));
        let first = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        self.give_back(node, connection.clone());
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => asking.await,
        };
        answer.unwrap_or_else(|_| {
            connection.give_up("it did not answer in time");
            Err(error::silent(deadline))
        })
    }

    /// Lets go of the idle connections, and refuses further places.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    /// A live idle connection to that node: best the one that watches `watched`, and else one that watches nothing.
    pub(crate) fn take_idle(&self, node: usize, watched: Option<&str>) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|(_, connection)| !connection.is_lost());
        let last = |fits: &dyn Fn(&Connection) -> bool| {
            idle.iter()
                .rposition(|(other, connection)| *other == node && fits(connection))
        };
        let at = watched
            .and_then(|key| last(&|connection| connection.watches(key)))
            .or_else(|| last(&|connection| !connection.watches_any()))
            .or_else(|| last(&|_| true));
        let found = at.map(|at| idle.remove(at).1);
        // A turn without a connection makes a new one: with those that rest at other nodes they must not grow too many.
        if found.is_none() && idle.len() > self.permits.available_permits() {
            idle.remove(0);
        }
        found
    }

    /// Keeps a connection for whoever comes next.
    pub(crate) fn give_back(&self, node: usize, connection: Connection) {
        if !self.permits.is_closed() && !connection.is_lost() {
            self.idle().push((node, connection));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(usize, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for a place, until it goes.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
