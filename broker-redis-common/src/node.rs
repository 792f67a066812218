//! One server: the connection that all commands share, and new ones for those who wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use broker_core::{BrokerEvent, Error, ErrorKind, Result};
use redis::aio::PubSub;
use redis::{ProtocolVersion, RedisConnectionInfo};

use crate::address::Address;
use crate::connection::{Connection, Manner};
use crate::{Redis, library};

/// How many numbers of connections are one server's; servers count theirs from 1.
const TICKETS: i64 = 1 << 44;

/// One server.
pub(crate) struct Node {
    /// Its number among those that this broker knows.
    pub(crate) number: usize,
    pub(crate) address: Address,
    library: OnceLock<redis::Client>,
    shared: Mutex<Option<Connection>>,
    connecting: tokio::sync::Mutex<()>,
    /// Whether the last attempt to connect failed.
    unreachable: AtomicBool,
}

impl Node {
    pub(crate) fn new(number: usize, address: Address) -> Self {
        Self {
            number,
            address,
            library: OnceLock::new(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            unreachable: AtomicBool::new(false),
        }
    }

    /// The connection that commands share, opened if there is no live one.
    pub(crate) async fn shared(&self, redis: &Redis) -> Result<Connection> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let opened = self.open(redis).await;
        self.unreachable.store(opened.is_err(), Ordering::Release);
        let opened = opened.map_err(|error| self.here(error))?;
        *self.slot() = Some(opened.clone());
        redis.events().send(BrokerEvent::Connected);
        Ok(opened)
    }

    async fn open(&self, redis: &Redis) -> Result<Connection> {
        let manner = Manner {
            response_timeout: Some(redis.settings().response_timeout),
            connect_timeout: redis.connect_timeout(),
            events: Some(redis.events().clone()),
        };
        let opened = Connection::open(self.library(redis)?, manner).await?;
        let server = redis.introduce(&opened).await.inspect_err(|_| opened.leave())?;
        redis.learn_server(server);
        Ok(opened)
    }

    /// A connection of its own for commands that block, which no response timeout cuts short.
    pub(crate) async fn blocking(&self, redis: &Redis) -> Result<Connection> {
        let manner = Manner {
            response_timeout: None,
            connect_timeout: redis.connect_timeout(),
            events: None,
        };
        let opened = Connection::open(self.library(redis)?, manner).await;
        let opened = opened.map_err(|error| self.here(error))?;
        opened.learn_id().await.map_err(|error| self.here(error))
    }

    /// A connection of its own for listening to channels.
    pub(crate) async fn listening(&self, redis: &Redis) -> Result<PubSub> {
        // In the newer protocol what is heard would come between answers, which this part of the library does not take.
        let login = library::login(redis.settings(), redis.name(), ProtocolVersion::RESP2)?;
        let library = self.build(redis, login)?;
        match tokio::time::timeout(redis.connect_timeout(), library.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(|failure| self.here(crate::error::connect(failure))),
            Err(_) => Err(self.here(Error::new(ErrorKind::Timeout, "connecting took too long"))),
        }
    }

    /// The live shared connection.
    pub(crate) fn live(&self) -> Option<Connection> {
        self.slot()
            .as_ref()
            .filter(|connection| !connection.is_lost())
            .cloned()
    }

    /// Whether the shared connection is of no use any more, or could not be made.
    pub(crate) fn is_lost(&self) -> bool {
        self.unreachable.load(Ordering::Acquire) || self.slot().as_ref().is_some_and(Connection::is_lost)
    }

    /// The ticket by which [`Redis::unblock`] wakes a reader that this server knows by `id`.
    pub(crate) fn ticket_of(&self, id: i64) -> i64 {
        match i64::try_from(self.number) {
            Ok(number) if id > 0 && id < TICKETS => number * TICKETS + id,
            _ => 0,
        }
    }

    /// The server's own number for the reader with that ticket, if it is this server's.
    pub(crate) fn id_of(&self, ticket: i64) -> Option<i64> {
        let own = i64::try_from(self.number) == Ok(ticket.div_euclid(TICKETS));
        Some(ticket.rem_euclid(TICKETS)).filter(|id| own && *id != 0)
    }

    /// Lets the shared connection go.
    pub(crate) fn leave(&self) {
        if let Some(connection) = self.slot().take() {
            connection.leave();
        }
    }

    fn library(&self, redis: &Redis) -> Result<&redis::Client> {
        if self.library.get().is_none() {
            let login = library::login(redis.settings(), redis.name(), ProtocolVersion::RESP3)?;
            let _ = self.library.set(self.build(redis, login)?);
        }
        self.library
            .get()
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the client library was not set up"))
    }

    fn build(&self, redis: &Redis, login: RedisConnectionInfo) -> Result<redis::Client> {
        library::client(redis.settings(), &self.address, login)
    }

    /// Names the server; the address holds no secret.
    fn here(&self, error: Error) -> Error {
        error.with("server", &self.address)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
