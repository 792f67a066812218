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
    idle: Mutex<Vec<Connection>>,
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

    /// Waits for a place; answers it with a connection, if a live one is at hand.
    pub(crate) async fn place(self: &Arc<Self>) -> Result<Place> {
        let waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::closed())?;
        drop(waiting);
        Ok(Place {
            pool: Arc::clone(self),
            connection: None,
            _permit: permit,
        })
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

    /// Sends a command on an idle connection, which goes back before the answer is there: the read that takes it next
    /// follows the command in the same write. Answers `None` where no connection is idle.
    pub(crate) async fn ask_ahead(&self, call: &Cmd, deadline: Duration) -> Option<Result<Value>> {
        let connection = self.take_idle()?;
        // Its first poll must put it on the connection: behind a read that blocks it would wait as long as that one.
        let asking = tokio::task::coop::unconstrained(connection.ask(call));
        let mut asking = std::pin::pin!(tokio::time::timeout(deadline, asking));
        let first = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        if !self.permits.is_closed() {
            lock(&self.idle).push(connection.clone());
        }
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => asking.await,
        };
        Some(answer.unwrap_or_else(|_| {
            connection.give_up();
            Err(error::silent(deadline))
        }))
    }

    /// Lets go of the idle connections, and refuses further places.
    pub(crate) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|connection| !connection.is_lost());
        idle.pop()
    }
}

/// A place in the pool, and its connection.
pub(crate) struct Place {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Takes an idle connection; answers whether there was one.
    pub(crate) fn reuse(&mut self) -> bool {
        self.connection = self.pool.take_idle();
        self.connection.is_some()
    }

    /// Uses a new connection.
    pub(crate) fn fill(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// The server's number for the connection; zero where it is not known.
    pub(crate) fn id(&self) -> i64 {
        self.connection.as_ref().map_or(0, Connection::id)
    }

    /// Sends commands of which one may block, and waits for the answers up to `deadline`.
    pub(crate) async fn ask(&mut self, pipeline: &Pipeline, deadline: Duration) -> Result<Vec<Value>> {
        // Taken out, so that a dropped future does not put a connection back that still owes an answer.
        let connection = self.connection.take().ok_or_else(Error::closed)?;
        let Ok(answer) = tokio::time::timeout(deadline, connection.pipeline(pipeline)).await else {
            connection.give_up();
            return Err(error::silent(deadline));
        };
        if !connection.is_lost() {
            self.connection = Some(connection);
        }
        answer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.pool.permits.is_closed()
        {
            lock(&self.pool.idle).push(connection);
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
