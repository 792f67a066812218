//! One connection to one server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::EventSender;
use broker_core::{BrokerEvent, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, Value};

use crate::{error, reply};

/// One connection to one server; cloning shares it.
///
/// Requests of several tasks travel together. Dropping a request's future mixes up no answers: the library's own task
/// pairs them.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    state: Arc<State>,
    /// The server's number for it, by which a blocked read can be woken.
    id: i64,
}

struct State {
    lost: AtomicBool,
    /// Who is told that the connection was lost.
    events: Option<EventSender>,
    /// The key that a transaction on this connection depends on, and the version it has been watched since.
    watched: Mutex<Option<(String, u32)>>,
}

impl State {
    fn watched(&self) -> MutexGuard<'_, Option<(String, u32)>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, reason: &str) {
        if !self.lost.swap(true, Ordering::AcqRel)
            && let Some(events) = &self.events
        {
            events.send(BrokerEvent::Disconnected {
                reason: reason.to_owned(),
            });
        }
    }
}

/// How a connection behaves.
pub(crate) struct Manner {
    /// How long an answer may take; unset where commands block, which have a deadline of their own.
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    /// Who is told that the connection was lost.
    pub(crate) events: Option<EventSender>,
}

impl Connection {
    /// Connects and authenticates.
    pub(crate) async fn open(library: &redis::Client, manner: Manner) -> Result<Self> {
        let state = Arc::new(State {
            lost: AtomicBool::new(false),
            events: manner.events,
            watched: Mutex::default(),
        });
        let told = Arc::clone(&state);
        let told = move |push: PushInfo| -> std::result::Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                told.lose("the connection was lost");
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(manner.connect_timeout))
            .set_response_timeout(manner.response_timeout)
            .set_pipeline_buffer_size(256)
            .set_push_sender(told);
        let inner = library
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(error::connect)?;
        Ok(Self { inner, state, id: 0 })
    }

    /// Asks the server for its number for this connection.
    pub(crate) async fn learn_id(mut self) -> Result<Self> {
        let mut ask = redis::cmd("CLIENT");
        ask.arg("ID");
        // A user without that right can't wake its readers, which then end with their slice.
        self.id = match self.command(&ask).await {
            Ok(id) => reply::number(&id).unwrap_or_default(),
            Err(refused) if error::ends_connection(&refused) => return Err(refused),
            Err(_) => 0,
        };
        Ok(self)
    }

    /// The server's number for it; zero where it is not known.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Whether it is of no use any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Acquire)
    }

    /// Takes note of the key that it watches, and of the version that the key had at first.
    pub(crate) fn watch(&self, key: &str, version: u32) {
        *self.state.watched() = Some((key.to_owned(), version));
    }

    /// Takes note that it watches nothing any more.
    pub(crate) fn unwatch(&self) {
        *self.state.watched() = None;
    }

    /// Whether it watches any key.
    pub(crate) fn watches_any(&self) -> bool {
        self.state.watched().is_some()
    }

    /// Whether it watches `key`.
    pub(crate) fn watches(&self, key: &str) -> bool {
        self.state
            .watched()
            .as_ref()
            .is_some_and(|(watched, _)| watched == key)
    }

    /// Whether it has watched `key` since that had this version.
    pub(crate) fn watches_since(&self, key: &str, version: u32) -> bool {
        let watched = self.state.watched();
        watched
            .as_ref()
            .is_some_and(|(watched, since)| watched == key && *since == version)
    }

    /// Gives it up: its answers can't be trusted to come.
    pub(crate) fn give_up(&self, reason: &str) {
        self.state.lose(reason);
    }

    /// Lets it go: nobody is to be told.
    pub(crate) fn leave(&self) {
        self.state.lost.store(true, Ordering::Release);
    }

    /// Sends one command; a refusal by the server is an error.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value> {
        reply::granted(self.ask(command).await?)
    }

    /// Sends one command; a refusal by the server is an answer.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        let mut inner = self.inner.clone();
        let answer = inner.send_packed_command(command).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        self.look(&answer);
        Ok(answer)
    }

    /// Sends commands in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        let mut inner = self.inner.clone();
        let answers = inner.send_packed_commands(pipeline, 0, pipeline.len()).await;
        let answers = answers.map_err(|error| self.failed(error))?;
        answers.iter().for_each(|answer| self.look(answer));
        Ok(answers)
    }

    /// A server that was made a replica keeps its connections; the next call looks for the primary anew.
    fn look(&self, answer: &Value) {
        if let Value::ServerError(refusal) = answer
            && refusal.code() == "READONLY"
        {
            self.give_up("the server is a replica now");
        }
    }

    fn failed(&self, error: redis::RedisError) -> broker_core::Error {
        let error = error::from_redis(error);
        if error::ends_connection(&error) {
            self.give_up(&error.to_string());
        }
        error
    }
}
