//! A blocking reader's place among the connections.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result, Retry};
use redis::{Pipeline, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::Connection;
use crate::node::Node;
use crate::nodes::Way;
use crate::redirect::Redirect;
use crate::{Redis, Script, error, reply};

/// How often a read follows its slot.
const FOLLOWED: usize = 5;

/// A blocking reader's place: a connection of its own to the node that holds its key.
pub struct Place {
    redis: Arc<Redis>,
    node: Arc<Node>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(crate) fn new(
        redis: Arc<Redis>,
        node: Arc<Node>,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            redis,
            node,
            connection: Some(connection),
            _permit: permit,
        }
    }

    /// The ticket by which [`Redis::unblock`] wakes it; zero where it can't be woken.
    #[must_use]
    pub fn ticket(&self) -> i64 {
        let id = self.connection.as_ref().map_or(0, Connection::id);
        self.node.ticket_of(id)
    }

    /// Sends commands of which one may block, and waits for the answers up to `deadline`.
    ///
    /// # Errors
    ///
    /// That the connection was lost, or that the server was silent for longer than `deadline`.
    pub async fn ask(&mut self, pipeline: &Pipeline, deadline: Duration) -> Result<Vec<Value>> {
        for _ in 0..FOLLOWED {
            let answers = self.ask_here(pipeline, deadline).await?;
            // What only prepares is answered by OK wherever it is sent; nothing has been done before the first other.
            let told = answers.iter().find(|answer| !matches!(answer, Value::Okay));
            let moved = told.and_then(Redirect::of).filter(|moved| !moved.ask);
            let (Some(moved), Way::Cluster(cluster)) = (moved, self.redis.way()) else {
                return Ok(answers);
            };
            self.node = cluster.moved(&self.redis, &self.node, &moved);
            if let Some(connection) = self.connection.take() {
                connection.leave();
            }
            self.connection = Some(self.node.blocking(&self.redis).await?);
        }
        Err(Error::new(
            ErrorKind::Connection,
            "the cluster's nodes send a read round and round",
        )
        .retry(Retry::Safe))
    }

    async fn ask_here(&mut self, pipeline: &Pipeline, deadline: Duration) -> Result<Vec<Value>> {
        // Taken out, so that a dropped future does not put a connection back that still owes an answer.
        let connection = self.connection.take().ok_or_else(Error::closed)?;
        let Ok(answer) = tokio::time::timeout(deadline, connection.pipeline(pipeline)).await else {
            connection.leave();
            return Err(error::silent(deadline));
        };
        if !connection.is_lost() {
            self.connection = Some(connection);
        }
        answer
    }

    /// Whether its connection still watches a key, for a transaction that did not come.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::watches_any)
    }

    /// Takes note that its connection has watched `key` since that had this version, for
    /// [`Redis::transact_ahead`].
    pub fn watching(&mut self, key: &str, version: u32) {
        if let Some(connection) = &self.connection {
            connection.watch(key, version);
        }
    }

    /// Takes note that its connection watches nothing.
    pub fn unwatch(&mut self) {
        if let Some(connection) = &self.connection {
            connection.unwatch();
        }
    }

    /// Makes this place's server know a script.
    ///
    /// # Errors
    ///
    /// The server's refusal, or that it was not reached.
    pub async fn teach(&mut self, script: &Script) -> Result<()> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(script.load());
        let answers = self.ask(&pipeline, self.redis.response_timeout()).await?;
        answers
            .into_iter()
            .try_for_each(|answer| reply::granted(answer).map(drop))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.redis.pool().give_back(self.node.number, connection);
        }
    }
}
