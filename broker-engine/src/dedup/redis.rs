//! Ids in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result, Retry, async_trait};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo as _, RedisError, Script};
use tokio::sync::OnceCell;

use super::{Claim, DedupStore};

/// What the keys start with, unless told otherwise.
const PREFIX: &str = "broker:dedup:";

/// How long a claim holds whose process has died.
const CLAIM: Duration = Duration::from_secs(300);

/// How long connecting and an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a handled id's key says.
const DONE: &str = "done";

/// Lets a claim go that is still its claimer's own.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Claims an id that nobody has: answers nothing then, and else what the key says.
const TAKE: &str = "local known = redis.call('GET', KEYS[1]) \
    if not known then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end return known";

/// Remembers message ids in a Redis server, so that several processes and their restarts know of them. Clones share it.
///
/// A key for each id, by name `broker:dedup:STREAM/GROUP/ID`; it goes by itself when its time is over. It connects when it
/// is first asked, and again after a lost connection; while the server is away handlings fail, and are tried again.
///
/// ```no_run
/// use std::time::Duration;
///
/// use broker_engine::dedup::RedisDedup;
/// use broker_engine::layers::DedupLayer;
///
/// # fn main() -> broker_core::Result<()> {
/// let seen = RedisDedup::new("redis://localhost:6379/0", Duration::from_secs(86_400))?;
/// let layer = DedupLayer::new(seen);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisDedup(Arc<Inner>);

struct Inner {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    take: Script,
    release: Script,
    prefix: String,
    /// What this process's claims say: another's claim is not let go.
    own: String,
    time_to_live: Duration,
    claim: Duration,
}

impl RedisDedup {
    /// Remembers ids for `time_to_live`, which is no shorter than a millisecond; no I/O yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where `url` is none of a Redis server.
    pub fn new(url: &str, time_to_live: Duration) -> Result<Self> {
        let client = url
            .into_connection_info()
            .and_then(Client::open)
            // The address may have a password in it.
            .map_err(|_| {
                Error::config(
                    "url",
                    "is no address of a Redis server, such as redis://localhost:6379/0",
                )
            })?;
        let token: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        Ok(Self(Arc::new(Inner {
            client,
            connection: OnceCell::new(),
            take: Script::new(TAKE),
            release: Script::new(RELEASE),
            prefix: PREFIX.to_owned(),
            own: format!("claimed {token}"),
            time_to_live: time_to_live.max(Duration::from_millis(1)),
            claim: CLAIM,
        })))
    }

    /// Sets what the keys start with, for applications that share a server.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.with(|inner| inner.prefix = prefix.into())
    }

    /// Sets how long a claim holds whose process has died; the default is five minutes. A handler that takes longer may
    /// be joined by another.
    #[must_use]
    pub fn claim_for(self, time: Duration) -> Self {
        self.with(|inner| inner.claim = time.max(Duration::from_millis(1)))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let old = &self.0;
        let mut inner = Inner {
            client: old.client.clone(),
            connection: OnceCell::new(),
            take: old.take.clone(),
            release: old.release.clone(),
            prefix: old.prefix.clone(),
            own: old.own.clone(),
            time_to_live: old.time_to_live,
            claim: old.claim,
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    async fn connection(&self) -> Result<ConnectionManager> {
        let connect = || async {
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            ConnectionManager::new_with_config(self.0.client.clone(), config).await
        };
        let connection = self.0.connection.get_or_try_init(connect).await;
        connection.cloned().map_err(failed)
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.0.prefix)
    }
}

#[async_trait]
impl DedupStore for RedisDedup {
    async fn claim(&self, id: &str) -> Result<Claim> {
        let mut connection = self.connection().await?;
        let known: Option<String> = self
            .0
            .take
            .key(self.key(id))
            .arg(&self.0.own)
            .arg(millis(self.0.claim))
            .invoke_async(&mut connection)
            .await
            .map_err(failed)?;
        Ok(match known.as_deref() {
            None => Claim::Mine,
            Some(DONE) => Claim::Done,
            Some(_) => Claim::Busy,
        })
    }

    async fn done(&self, id: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        redis::cmd("SET")
            .arg(self.key(id))
            .arg(DONE)
            .arg("PX")
            .arg(millis(self.0.time_to_live))
            .exec_async(&mut connection)
            .await
            .map_err(failed)
    }

    async fn release(&self, id: &str) -> Result<()> {
        let mut connection = self.connection().await?;
        self.0
            .release
            .key(self.key(id))
            .arg(&self.0.own)
            .invoke_async::<i64>(&mut connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

impl fmt::Debug for RedisDedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDedup")
            .field("prefix", &self.0.prefix)
            .field("time_to_live", &self.0.time_to_live)
            .finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn failed(error: RedisError) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_io_error() || error.is_connection_dropped() {
        ErrorKind::Connection
    } else {
        ErrorKind::Unexpected
    };
    Error::new(
        kind,
        "the Redis server of the handled ids does not answer as it should",
    )
    .retry(Retry::Safe)
    .operation("dedup")
    .source(error)
}
