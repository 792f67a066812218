//! One connection to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::base::EventSender;
use broker_core::{BrokerEvent, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, Value};

use crate::{error, reply};

/// One connection to the server; cloning shares it.
///
/// Requests of several tasks travel together. Dropping a request's future mixes up no answers: the library's own task
/// pairs them.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    lost: Arc<AtomicBool>,
    /// The server's number for it, by which a blocked read can be woken.
    id: i64,
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
        let lost = Arc::new(AtomicBool::new(false));
        let (flag, events) = (Arc::clone(&lost), manner.events);
        let told = move |push: PushInfo| -> std::result::Result<(), ()> {
            if push.kind == PushKind::Disconnection
                && !flag.swap(true, Ordering::AcqRel)
                && let Some(events) = &events
            {
                events.send(BrokerEvent::Disconnected {
                    reason: "the connection was lost".to_owned(),
                });
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
        let mut connection = Self { inner, lost, id: 0 };
        let mut ask = redis::cmd("CLIENT");
        ask.arg("ID");
        // A user without that right can't wake its readers, which then end with their slice.
        connection.id = match connection.command(&ask).await {
            Ok(id) => reply::number(&id).unwrap_or_default(),
            Err(refused) if error::ends_connection(&refused) => return Err(refused),
            Err(_) => 0,
        };
        Ok(connection)
    }

    /// The server's number for it; zero where it is not known.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Whether it is of no use any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Gives it up: its answers can't be trusted to come.
    pub(crate) fn give_up(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Sends one command; a refusal by the server is an error.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value> {
        reply::granted(self.ask(command).await?)
    }

    /// Sends one command; a refusal by the server is an answer.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        let mut inner = self.inner.clone();
        let answer = inner.send_packed_command(command).await;
        answer.map_err(|error| self.failed(error))
    }

    /// Sends commands in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        let mut inner = self.inner.clone();
        let answer = inner.send_packed_commands(pipeline, 0, pipeline.len()).await;
        answer.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redis::RedisError) -> broker_core::Error {
        let error = error::from_redis(error);
        if error::ends_connection(&error) {
            self.give_up();
        }
        error
    }
}
