//! All that talks to the server.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{GroupName, Result, StreamName};
use broker_redis_common::{Hub, Place, Redis, Server, Topic as Heard};
use redis::{Cmd, Pipeline, Value};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::config::RedisStreamsConfig;
use crate::consumer::Consumer;
use crate::group::Group;
use crate::keys::StreamKeys;
use crate::scripts::{self, Script};

/// The partitions of a stream.
pub(crate) type Topic = Arc<[Arc<StreamKeys>]>;

/// What all parts of one opened broker talk to the server through.
pub(crate) struct Client {
    pub(crate) config: RedisStreamsConfig,
    pub(crate) context: OpenContext,
    pub(crate) redis: Arc<Redis>,
    hub: Hub,
    pub(crate) closing: Notify,
    pub(crate) topics: Mutex<HashMap<StreamName, Topic>>,
    pub(crate) groups: Mutex<HashMap<(StreamName, GroupName, u32), Arc<Group>>>,
    consumers: Mutex<Vec<Weak<Consumer>>>,
    tasks: Mutex<JoinSet<()>>,
    pub(crate) recreated: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) reaped: AtomicU64,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(config: RedisStreamsConfig, context: OpenContext) -> Result<Self> {
        let name = env!("CARGO_PKG_NAME");
        let redis = Redis::new(config.connection(), &context, name, scripts::all())?;
        let redis = Arc::new(redis);
        Ok(Self {
            hub: Hub::new(Arc::clone(&redis), config.keep_alive),
            redis,
            config,
            context,
            closing: Notify::new(),
            topics: Mutex::default(),
            groups: Mutex::default(),
            consumers: Mutex::default(),
            tasks: Mutex::default(),
            recreated: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            reaped: AtomicU64::new(0),
        })
    }

    /// Refuses a call after closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.redis.check_open()
    }

    /// Connects if there is no live connection.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.redis.connect().await
    }

    /// A place among the blocking readers, at the node that holds `key`.
    pub(crate) async fn reading_place(&self, key: &str) -> Result<Place> {
        self.redis.place(key).await
    }

    /// As [`reading_place`](Self::reading_place), best with the connection that watches `watched`.
    pub(crate) async fn watching_place(&self, key: &str, watched: &str) -> Result<Place> {
        self.redis.place_watching(key, Some(watched)).await
    }

    /// Runs a command on the connection that the next read takes, unless `key` has changed since it had this version;
    /// answers `None` where nothing was done.
    pub(crate) async fn transact_ahead(
        &self,
        key: &str,
        version: u32,
        command: Cmd,
    ) -> Result<Option<Value>> {
        self.redis.transact_ahead(key, version, command).await
    }

    /// Sends one command on the shared connection.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value> {
        self.redis.command(command).await
    }

    /// Sends commands on the shared connection in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        self.redis.pipeline(pipeline).await
    }

    /// Runs a script; a server that has forgotten it is taught again.
    pub(crate) async fn run(&self, script: &Script, call: &Cmd) -> Result<Value> {
        self.redis.run(script, call).await
    }

    /// Runs a script on the connection that the next read of `key` takes, so that both travel together.
    pub(crate) async fn run_ahead(&self, key: &str, script: &Script, call: &Cmd) -> Result<Value> {
        self.redis.run_ahead(key, script, call).await
    }

    /// Runs a script, also for giving back what a closed broker held.
    pub(crate) async fn run_even_closed(&self, script: &Script, call: &Cmd) -> Result<Value> {
        self.redis.run_even_closed(script, call).await
    }

    /// What the server told about itself when the connection was opened.
    pub(crate) fn server(&self) -> Server {
        self.redis.server()
    }

    /// Lets a group hear what other processes give back or delay; without that right it looks by itself.
    pub(crate) fn listen(self: &Arc<Self>, group: &Arc<Group>) {
        if !group.begin_to_listen() {
            return;
        }
        let (client, group) = (Arc::clone(self), Arc::clone(group));
        self.spawn(async move {
            let listener: Arc<dyn broker_redis_common::Listener> = Arc::<Group>::clone(&group);
            let topic = Heard::Channel(group.keys.wake.clone());
            let heard = client.hub.subscribe(topic, &listener).await;
            if let Err(error) = &heard {
                tracing::debug!(%error, "what other processes give back is looked for from time to time");
            }
            group.listens(heard.is_ok());
        });
    }

    /// Tells the readers of all processes that something of the group's is due.
    pub(crate) async fn wake(&self, group: &Group) {
        group.due_in(Duration::ZERO);
        let mut tell = redis::cmd("PUBLISH");
        tell.arg(&group.keys.wake).arg(group.wake_word(Duration::ZERO));
        // Whoever does not hear it looks from time to time.
        let _ = self.command(&tell).await;
    }

    /// Remembers a consumer, whose hands are emptied when the broker closes.
    pub(crate) fn add_consumer(&self, consumer: &Arc<Consumer>) {
        let mut consumers = lock(&self.consumers);
        consumers.retain(|consumer| consumer.strong_count() > 0);
        consumers.push(Arc::downgrade(consumer));
    }

    /// Runs `task` in the background, until [`close`](Self::close) waits for it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &runtime);
    }

    /// Wakes readers that are blocked at the server; what they were given meanwhile is not lost.
    pub(crate) async fn unblock(&self, tickets: &[i64]) {
        self.redis.unblock(tickets).await;
    }

    /// Wakes readers, empties their hands, and lets go of the connections.
    pub(crate) async fn close(&self) {
        if !self.redis.refuse() {
            return;
        }
        self.closing.notify_waiters();
        self.hub.close();
        let consumers: Vec<_> = lock(&self.consumers)
            .drain(..)
            .filter_map(|consumer| consumer.upgrade())
            .collect();
        let empty = async {
            for consumer in consumers {
                consumer.leave().await;
            }
            let mut tasks = std::mem::take(&mut *lock(&self.tasks));
            while tasks.join_next().await.is_some() {}
        };
        // A server that is down must not hold up closing; what is left comes again when its lease ends.
        let _ = tokio::time::timeout(self.patience(), empty).await;
        self.redis.close();
    }

    /// How long letting go may take.
    pub(crate) fn patience(&self) -> Duration {
        self.config.response_timeout.min(Duration::from_millis(1500))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
