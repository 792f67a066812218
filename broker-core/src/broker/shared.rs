//! What all handles of one opened broker share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::consumer::Consumer;
use super::counters::Counters;
use super::lifecycle::{Lifecycle, Stage};
use super::members::Members;
use super::publish_queue::PublishQueue;
use super::still_used::StillUsed;
use crate::base::{BoxFuture, DynBroker, EventSender, PublishEndpoint};
use crate::config::BrokerConfig;
use crate::values::{Capabilities, ConsumerName, Error, ErrorKind, Result, StreamName};

/// How many resolved names are kept; beyond that they are resolved anew.
const RESOLVED: usize = 1024;

/// What all handles of one opened broker share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) provider: &'static str,
    pub(super) base: Arc<dyn DynBroker>,
    pub(super) config: Arc<BrokerConfig>,
    /// Where `require` was written, as errors name it.
    pub(super) require_place: String,
    pub(super) consumer: ConsumerName,
    pub(super) events: EventSender,
    pub(super) breaker: Breaker,
    pub(super) counters: Counters,
    pub(super) life: Lifecycle,
    pub(super) opened: Instant,
    /// When the last ping was answered, and how long it took.
    pub(super) last_ping: Mutex<Option<(Instant, Duration)>>,
    connected: AtomicBool,
    /// One task connects at a time.
    pub(super) connecting: Semaphore,
    pub(super) publishers: Mutex<HashMap<StreamName, Arc<dyn PublishEndpoint>>>,
    /// What every handle of the broker holds on to.
    handles: Weak<Members>,
    /// They may hold buffered acks, which are sent when the broker closes.
    pub(super) consumers: StillUsed<Consumer>,
    /// They are flushed when the broker closes.
    pub(super) queues: StillUsed<PublishQueue>,
    tasks: Mutex<JoinSet<()>>,
}

/// What a broker is opened with.
pub(super) struct Opened {
    pub(super) name: Arc<str>,
    pub(super) provider: &'static str,
    pub(super) base: Arc<dyn DynBroker>,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) require_place: String,
    pub(super) consumer: ConsumerName,
    pub(super) events: EventSender,
}

impl Shared {
    pub(super) fn new(opened: Opened, handles: Weak<Members>) -> Self {
        let config = opened.config;
        Self {
            name: opened.name,
            provider: opened.provider,
            base: opened.base,
            breaker: Breaker::new(config.circuit_breaker_failures, config.circuit_breaker_reset),
            config,
            require_place: opened.require_place,
            consumer: opened.consumer,
            events: opened.events,
            counters: Counters::default(),
            life: Lifecycle::new(),
            opened: Instant::now(),
            last_ping: Mutex::default(),
            connected: AtomicBool::new(false),
            connecting: Semaphore::new(1),
            publishers: Mutex::default(),
            handles,
            consumers: StillUsed::default(),
            queues: StillUsed::default(),
            tasks: Mutex::default(),
        }
    }

    /// Refuses a call on a closed broker or an open circuit.
    #[inline]
    pub(super) fn check(&self, operation: &'static str) -> Result<()> {
        self.check_open(operation)?;
        self.breaker
            .check()
            .map_err(|error| error.operation(operation).provider(self.provider))
    }

    /// Refuses a call on a closed broker.
    #[inline]
    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.life.reached(Stage::Draining) {
            return Err(Error::closed().operation(operation).provider(self.provider));
        }
        Ok(())
    }

    /// Whether somebody could still close this broker.
    pub(super) fn has_handles(&self) -> bool {
        self.handles.strong_count() > 0
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Marks the broker connected. What the server can do is known only now, so requirements are checked again.
    pub(super) fn connected(&self) -> Result<()> {
        self.check_requirements()?;
        self.connected.store(true, Ordering::Release);
        Ok(())
    }

    /// Checks the configured `require` against the flags of this instance.
    pub(super) fn check_requirements(&self) -> Result<()> {
        let has = self.base.capabilities();
        let missing = self.config.require - has;
        if missing.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = self
            .base
            .lost_capabilities()
            .into_iter()
            .filter(|lost| lost.capability.intersects(missing))
            .map(|lost| lost.reason)
            .collect();
        let names: Vec<_> = missing.flags().filter_map(Capabilities::name).collect();
        let why = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join("; "))
        };
        Err(Error::config(
            &self.require_place,
            format!(
                "provider `{}` lacks {}{why}; require less or choose another provider",
                self.provider,
                names.join(", ")
            ),
        ))
    }

    /// Refuses an operation whose flag this instance has not.
    pub(super) fn need(&self, capability: Capabilities, operation: &'static str) -> Result<()> {
        let missing = capability - self.base.capabilities();
        if missing.is_empty() {
            return self.check_open(operation);
        }
        Err(self.unsupported(missing, operation))
    }

    /// The family, or an error that names flag and provider.
    pub(super) fn family<'a, F: ?Sized>(
        &self,
        family: Option<&'a F>,
        capability: Capabilities,
        operation: &'static str,
    ) -> Result<&'a F> {
        self.check_open(operation)?;
        family.ok_or_else(|| self.unsupported(capability, operation))
    }

    pub(super) fn unsupported(&self, capability: Capabilities, operation: &'static str) -> Error {
        let mut error = Error::unsupported(capability)
            .operation(operation)
            .provider(self.provider);
        for lost in self.base.lost_capabilities() {
            if lost.capability.intersects(capability) {
                error = error.with("reason", lost.reason);
            }
        }
        error
    }

    /// Tells breaker and connection state what a call's outcome means.
    pub(super) fn observe<T>(&self, answer: &Result<T>) {
        match answer.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Connection) => {
                self.connected.store(false, Ordering::Release);
                self.breaker.failed();
            }
            Err(ErrorKind::Timeout) => self.breaker.failed(),
            // The broker answered by closing: that says nothing about the server.
            Err(ErrorKind::Closed) => {}
            _ => self.breaker.succeeded(),
        }
    }

    /// Runs `task` in the background; [`join_tasks`](Self::join_tasks) waits for it.
    ///
    /// Boxed, so that what the runtime makes of a task is compiled once and not for each of them.
    pub(super) fn spawn(&self, task: BoxFuture<'static, ()>) -> bool {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return false;
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &runtime);
        true
    }

    /// Waits until background tasks have ended, those begun meanwhile included.
    pub(super) async fn join_tasks(&self) {
        // The tasks stay where they are: a dropped wait must not abort them.
        std::future::poll_fn(|context| {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match tasks.poll_join_next(context) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Forgets what a stream's name resolved to.
    pub(super) fn forget_stream(&self, stream: &StreamName) {
        self.publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(stream);
    }

    /// The kept value for `key`.
    pub(super) fn resolved<K: std::hash::Hash + Eq, V: Clone>(
        map: &Mutex<HashMap<K, V>>,
        key: &K,
    ) -> Option<V> {
        map.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Keeps `value`, unless another task was quicker; answers the kept one.
    pub(super) fn keep<K: std::hash::Hash + Eq, V: Clone>(map: &Mutex<HashMap<K, V>>, key: K, value: V) -> V {
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= RESOLVED && !map.contains_key(&key) {
            map.clear();
        }
        map.entry(key).or_insert(value).clone()
    }
}
