//! Waking readers that wait for a stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use broker_core::{Result, StreamName};
use broker_redis_common::{Hub, Listener, Topic};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::client::SharedClient;
use crate::keys::Keys;
use crate::reply;

/// The readers of this process that wait for one stream.
#[derive(Default)]
pub(crate) struct Wake {
    pub(crate) notify: Notify,
    waiting: AtomicUsize,
    subscribed: tokio::sync::OnceCell<()>,
    watch: AtomicU8,
}

/// Nobody waits at the server.
const IDLE: u8 = 0;
/// A connection waits at the server.
const WATCHED: u8 = 1;
/// Waiting at the server failed a moment ago.
const FAILED: u8 = 2;

/// How long after a failure waiting at the server is not tried again.
const RECOVERY: Duration = Duration::from_secs(1);

impl Listener for Wake {
    fn hear(&self, _: &str, _: &[u8]) {
        self.notify.notify_waiters();
    }

    fn missed(&self, _: SystemTime, _: Duration) {
        self.notify.notify_waiters();
    }
}

/// Wakes readers when their streams have something for them.
pub(crate) struct Waker {
    client: SharedClient,
    hub: Arc<Hub>,
    streams: Mutex<HashMap<StreamName, Weak<Wake>>>,
    /// Connections that may wait at the server for pushes of other programs.
    places: Arc<Semaphore>,
    slice: Duration,
    watches: Mutex<JoinSet<()>>,
}

impl Waker {
    pub(crate) fn new(client: SharedClient, hub: Arc<Hub>, places: usize, slice: Duration) -> Self {
        Self {
            client,
            hub,
            streams: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            slice,
            watches: Mutex::default(),
        }
    }

    /// What readers of `stream` wait for; kept as long as one of them lives.
    pub(crate) fn of(&self, stream: &StreamName) -> Arc<Wake> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = streams.get(stream).and_then(Weak::upgrade) {
            return wake;
        }
        streams.retain(|_, wake| wake.strong_count() > 0);
        let wake = Arc::new(Wake::default());
        streams.insert(stream.clone(), Arc::downgrade(&wake));
        wake
    }

    /// Makes sure that `wake` is told of each publish from now on.
    pub(crate) async fn arm(&self, wake: &Arc<Wake>, keys: &Keys) -> Result<()> {
        let subscribe = || {
            let listener: Arc<dyn Listener> = Arc::<Wake>::clone(wake);
            let topic = Topic::Channel(keys.wake.clone());
            async move { self.hub.subscribe(topic, &listener).await }
        };
        wake.subscribed.get_or_try_init(subscribe).await.map(drop)
    }

    /// Wakes everybody, and waits at the server no more.
    pub(crate) fn close(&self) {
        self.watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for wake in streams.values().filter_map(Weak::upgrade) {
            wake.notify.notify_waiters();
        }
    }

    /// Sees to it that a push of any program wakes `wake`, which readers wait for; answers whether that is so.
    ///
    /// One connection per stream waits by `BLMOVE` from the list into the log: the message is moved by the server in
    /// one step, so that nothing is in this process's hands while it happens. Where all places are taken, it is not so.
    pub(crate) fn watch(&self, wake: &Arc<Wake>, keys: &Keys) -> bool {
        match wake.watch.load(Ordering::Acquire) {
            WATCHED => return true,
            IDLE => {}
            _ => return false,
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return false;
        };
        let exchange = wake
            .watch
            .compare_exchange(IDLE, WATCHED, Ordering::AcqRel, Ordering::Acquire);
        if let Err(other) = exchange {
            return other == WATCHED;
        }
        let watch = Watch {
            client: Arc::clone(&self.client),
            wake: Arc::downgrade(wake),
            keys: keys.clone(),
            slice: self.slice,
        };
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        while watches.try_join_next().is_some() {}
        watches.spawn(async move {
            let _place = place;
            watch.run().await;
        });
        true
    }
}

/// Counts a reader as waiting for as long as it does.
pub(crate) struct Waiting<'a>(&'a Wake);

impl<'a> Waiting<'a> {
    pub(crate) fn new(wake: &'a Wake) -> Self {
        wake.waiting.fetch_add(1, Ordering::AcqRel);
        Self(wake)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Watch {
    client: SharedClient,
    wake: Weak<Wake>,
    keys: Keys,
    slice: Duration,
}

impl Watch {
    async fn run(self) {
        if let Err(error) = self.wait_and_wake().await {
            tracing::debug!(%error, list = self.keys.list, "waiting at the server failed");
            // Readers look by themselves meanwhile, as those without a place do.
            self.leave(FAILED);
            tokio::time::sleep(RECOVERY).await;
        }
        self.leave(IDLE);
    }

    /// Whoever waits looks again, and decides anew for how long.
    fn leave(&self, state: u8) {
        if let Some(wake) = self.wake.upgrade() {
            wake.watch.store(state, Ordering::Release);
            wake.notify.notify_waiters();
        }
    }

    async fn wait_and_wake(&self) -> Result<()> {
        let mut place = self.client.waiting(&self.keys.list).await?;
        let mut pipeline = redis::Pipeline::with_capacity(1);
        let command = pipeline.cmd("BLMOVE");
        command
            .arg(&self.keys.list)
            .arg(&self.keys.log)
            .arg("LEFT")
            .arg("RIGHT");
        command.arg(self.slice.as_secs_f64());
        let patience = self.slice + self.client.response_timeout();
        while self.wanted() {
            let moved = place.ask(&pipeline, patience).await?.into_iter().next();
            if !matches!(
                moved.map(reply::granted).transpose()?,
                None | Some(redis::Value::Nil)
            ) {
                // Readers of other groups may be in other processes.
                let mut tell = redis::cmd("PUBLISH");
                tell.arg(&self.keys.wake).arg("");
                self.client.ask::<()>(&tell).await?;
                if let Some(wake) = self.wake.upgrade() {
                    wake.notify.notify_waiters();
                }
            }
        }
        Ok(())
    }

    fn wanted(&self) -> bool {
        self.client.check_open().is_ok()
            && self
                .wake
                .upgrade()
                .is_some_and(|wake| wake.waiting.load(Ordering::Acquire) > 0)
    }
}
