//! Ids in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, Result, Retry, async_trait};
use broker_redis_common::{Redis, Script, reply};

use super::address::connection;
use super::{Claim, DedupStore};

/// What the keys start with, unless told otherwise.
const PREFIX: &str = "broker:dedup:";

/// How long a claim holds whose process has died.
const CLAIM: Duration = Duration::from_secs(300);

/// What a handled id's key says.
const DONE: &str = "done";

/// Marks an id as handled.
const REMEMBER: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])";

/// Lets a claim go that is still its claimer's own.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Claims an id that nobody has: answers nothing then, and else what the key says.
const TAKE: &str = "local known = redis.call('GET', KEYS[1]) \
    if not known then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end return known";

/// Remembers message ids in Redis, so that several processes and their restarts know of them. Clones share it.
///
/// The address is one as the provider `redis` takes it: a server, several nodes of a cluster, or Sentinels, with the same
/// options in its query. A key for each id, by name `broker:dedup:STREAM/GROUP/ID`; it goes by itself when its time is
/// over. It connects when it is first asked, and again after a lost connection; while the server is away handlings fail,
/// and are tried again.
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
/// // A cluster, and a primary that Sentinels know the place of:
/// let seen = RedisDedup::new("redis://one:6379,two:6379,three:6379", Duration::from_secs(86_400))?;
/// let seen = RedisDedup::new("redis://one:26379,two:26379?sentinel=mymaster", Duration::from_secs(86_400))?;
/// # let _ = (layer, seen);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisDedup(Arc<Inner>);

struct Inner {
    servers: Arc<Redis>,
    scripts: Arc<Scripts>,
    prefix: String,
    /// What this process's claims say: another's claim is not let go.
    own: String,
    time_to_live: Duration,
    claim: Duration,
}

struct Scripts {
    take: Script,
    remember: Script,
    release: Script,
}

impl RedisDedup {
    /// Remembers ids for `time_to_live`, which is no shorter than a millisecond; no I/O yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](broker_core::ErrorKind::Config) where `url` is none of Redis, or its options are wrong.
    pub fn new(url: &str, time_to_live: Duration) -> Result<Self> {
        let (connection, config) = connection(url)?;
        let scripts = Arc::new(Scripts {
            take: Script::new(TAKE),
            remember: Script::new(REMEMBER),
            release: Script::new(RELEASE),
        });
        let known = [&scripts.take, &scripts.remember, &scripts.release];
        let servers = Redis::apart(connection, config, env!("CARGO_PKG_NAME"), known)?;
        let token: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        Ok(Self(Arc::new(Inner {
            servers: Arc::new(servers),
            scripts,
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
            servers: Arc::clone(&old.servers),
            scripts: Arc::clone(&old.scripts),
            prefix: old.prefix.clone(),
            own: old.own.clone(),
            time_to_live: old.time_to_live,
            claim: old.claim,
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.0.prefix)
    }
}

#[async_trait]
impl DedupStore for RedisDedup {
    async fn claim(&self, id: &str) -> Result<Claim> {
        let take = &self.0.scripts.take;
        let mut call = take.call(&[&self.key(id)]);
        call.arg(&self.0.own).arg(millis(self.0.claim));
        let known = self.0.servers.run(take, &call).await.map_err(failed)?;
        Ok(match reply::text(&known) {
            None => Claim::Mine,
            Some(DONE) => Claim::Done,
            Some(_) => Claim::Busy,
        })
    }

    async fn done(&self, id: &str) -> Result<()> {
        let remember = &self.0.scripts.remember;
        let mut call = remember.call(&[&self.key(id)]);
        call.arg(DONE).arg(millis(self.0.time_to_live));
        self.0
            .servers
            .run(remember, &call)
            .await
            .map(drop)
            .map_err(failed)
    }

    async fn release(&self, id: &str) -> Result<()> {
        let release = &self.0.scripts.release;
        let mut call = release.call(&[&self.key(id)]);
        call.arg(&self.0.own);
        self.0.servers.run(release, &call).await.map(drop).map_err(failed)
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

/// Whatever went wrong, the handling that asked is tried again.
fn failed(error: Error) -> Error {
    Error::new(
        error.kind(),
        "the Redis server of the handled ids does not answer as it should",
    )
    .retry(Retry::Safe)
    .operation("dedup")
    .source(error)
}
