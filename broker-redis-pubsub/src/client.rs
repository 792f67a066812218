//! All that talks to the server: one connection for commands, further ones for waiting and for listening.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::base::EventSender;
use broker_core::{BrokerEvent, Error, ErrorKind, Result};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, ScriptInvocation};

use crate::config::RedisPubsubConfig;
use crate::{connect, error};

/// The oldest server that has what the scripts use: LMOVE and LPOP with a count.
const OLDEST: (u32, u32) = (6, 2);

/// The server, as this broker reaches it.
pub(crate) struct Client {
    redis: redis::Client,
    address: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    events: EventSender,
    /// Held while connecting, so that many tasks share one attempt.
    connecting: tokio::sync::Mutex<()>,
    live: Mutex<Live>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Live {
    connection: Option<MultiplexedConnection>,
    /// Rises with each connection, so that an old one's failure does not end its successor.
    number: u64,
    version: Option<String>,
}

impl Client {
    pub(crate) fn open(
        config: &RedisPubsubConfig,
        connect_timeout: Duration,
        events: EventSender,
    ) -> Result<Self> {
        Ok(Self {
            redis: connect::client(config)?,
            address: config.address()?.to_string(),
            connect_timeout,
            response_timeout: config.response_timeout,
            events,
            connecting: tokio::sync::Mutex::new(()),
            live: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Where the server is, without credentials.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The server's product and version, once it was asked.
    pub(crate) fn version(&self) -> Option<String> {
        self.live().version.clone()
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Tells what happened to whoever listens.
    pub(crate) fn tell(&self, event: BrokerEvent) {
        self.events.send(event);
    }

    /// Connects if there is no live connection.
    pub(crate) async fn ensure(&self) -> Result<()> {
        self.connection().await.map(drop)
    }

    /// Sends one command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let (number, mut connection) = self.connection().await?;
        self.judge(number, command.query_async(&mut connection).await)
    }

    /// Sends several commands in one go.
    pub(crate) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let (number, mut connection) = self.connection().await?;
        self.judge(number, commands.query_async(&mut connection).await)
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let (number, mut connection) = self.connection().await?;
        self.judge(number, script.invoke_async(&mut connection).await)
    }

    /// A connection of its own for blocking commands, which no response timeout cuts short.
    pub(crate) async fn waiting(&self) -> Result<MultiplexedConnection> {
        self.check_open()?;
        let config = self.config().set_response_timeout(None);
        self.redis
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|failure| self.named(error::connect(failure)))
    }

    /// A connection of its own for listening to channels.
    pub(crate) async fn listening(&self) -> Result<PubSub> {
        self.check_open()?;
        match tokio::time::timeout(self.connect_timeout, self.redis.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(|failure| self.named(error::connect(failure))),
            Err(_) => Err(self.named(Error::new(ErrorKind::Timeout, "connecting took too long"))),
        }
    }

    /// Refuses further calls and lets the connection go.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.live().connection = None;
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(())
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection)> {
        self.check_open()?;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let _one = self.connecting.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let mut connection = self
            .redis
            .get_multiplexed_async_connection_with_config(&self.config())
            .await
            .map_err(|failure| self.named(error::connect(failure)))?;
        let version = self.look(&mut connection).await?;
        self.check_open()?;
        let mut live = self.live();
        live.number += 1;
        live.version = version;
        live.connection = Some(connection.clone());
        let number = live.number;
        drop(live);
        self.tell(BrokerEvent::Connected);
        Ok((number, connection))
    }

    /// Asks which server it is; one that does not tell is taken as new enough.
    async fn look(&self, connection: &mut MultiplexedConnection) -> Result<Option<String>> {
        let asked = redis::cmd("INFO")
            .arg("server")
            .query_async::<String>(connection)
            .await;
        let info = match asked {
            Ok(info) => info,
            Err(failure) => {
                let failure = error::connect(failure);
                return match failure.kind() {
                    ErrorKind::Connection | ErrorKind::Timeout => Err(self.named(failure)),
                    _ => Ok(None),
                };
            }
        };
        let value = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let Some(compatible) = value("redis_version") else {
            return Ok(None);
        };
        let mut numbers = compatible.split('.').map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < OLDEST {
            return Err(self.named(Error::new(
                ErrorKind::Config,
                format!("the server is Redis {compatible}; 6.2 or newer is needed"),
            )));
        }
        Ok(Some(match value("valkey_version") {
            Some(valkey) => format!("valkey {valkey}"),
            None => format!("redis {compatible}"),
        }))
    }

    fn judge<T>(&self, number: u64, answer: redis::RedisResult<T>) -> Result<T> {
        let failure = match answer {
            Ok(answer) => return Ok(answer),
            Err(failure) => self.named(error::from_redis(failure)),
        };
        if error::ends_connection(&failure) {
            let mut live = self.live();
            if live.number == number && live.connection.take().is_some() {
                drop(live);
                self.tell(BrokerEvent::Disconnected {
                    reason: failure.to_string(),
                });
            }
        }
        self.check_open()?;
        Err(failure)
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
    }

    fn named(&self, error: Error) -> Error {
        error.with("server", &self.address)
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let live = self.live();
        live.connection
            .clone()
            .map(|connection| (live.number, connection))
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The client, shared by all that uses it.
pub(crate) type SharedClient = Arc<Client>;
