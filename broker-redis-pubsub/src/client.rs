//! All that talks to the server, with answers as types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{BrokerEvent, Result};
use broker_redis_common::{Call, Place, Redis, Server};
use redis::{Cmd, FromRedisValue, Pipeline, Value};

use crate::config::RedisPubsubConfig;
use crate::scripts::Scripts;
use crate::{error, reply};

/// The server, as this broker reaches it.
pub(crate) struct Client {
    redis: Arc<Redis>,
}

impl Client {
    pub(crate) fn open(config: &RedisPubsubConfig, context: &OpenContext, scripts: &Scripts) -> Result<Self> {
        let name = env!("CARGO_PKG_NAME");
        let redis = Redis::new(config.connection(), context, name, scripts.of(config.mode))?;
        Ok(Self {
            redis: Arc::new(redis),
        })
    }

    /// What it is reached by.
    pub(crate) fn redis(&self) -> Arc<Redis> {
        Arc::clone(&self.redis)
    }

    /// Where the server is, without credentials.
    pub(crate) fn address(&self) -> String {
        self.redis.address()
    }

    /// What the server told about itself when the connection was opened.
    pub(crate) fn server(&self) -> Server {
        self.redis.server()
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.redis.response_timeout()
    }

    /// Tells what happened to whoever listens.
    pub(crate) fn tell(&self, event: BrokerEvent) {
        self.redis.events().send(event);
    }

    /// Connects if there is no live connection.
    pub(crate) async fn ensure(&self) -> Result<()> {
        self.redis.connect().await
    }

    /// Sends one command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        typed(self.redis.command(command).await?)
    }

    /// Sends several commands in one go; the first refusal is the error.
    pub(crate) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let answers = self.redis.pipeline(commands).await?;
        let answers: Result<_> = answers.into_iter().map(reply::granted).collect();
        typed(Value::Array(answers?))
    }

    /// Sends several commands in one go; a refusal is an answer.
    pub(crate) async fn try_all(&self, commands: &Pipeline) -> Result<Vec<Value>> {
        self.redis.pipeline(commands).await
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T> {
        typed(self.redis.call(call).await?)
    }

    /// A place for waiting at the server for `key`, which no response timeout cuts short.
    pub(crate) async fn waiting(&self, key: &str) -> Result<Place> {
        self.redis.place(key).await
    }

    /// Refuses further calls and lets the connections go.
    pub(crate) fn close(&self) {
        self.redis.close();
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        self.redis.check_open()
    }
}

fn typed<T: FromRedisValue>(answer: Value) -> Result<T> {
    redis::from_redis_value(answer).map_err(|failure| error::from_redis(failure.into()))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// The client, shared by all that uses it.
pub(crate) type SharedClient = Arc<Client>;
