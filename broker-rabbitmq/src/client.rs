//! All that talks to the server: two connections, and what was resolved on them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use broker_core::base::OpenContext;
use broker_core::{Error, MessageId, Result};
use lapin::Channel;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::config::RabbitMqConfig;
use crate::connection::{Link, Live};
use crate::consumer::Consumer;
use crate::log;
use crate::ordered::Groups;
use crate::sender::Senders;
use crate::topology::Known;

/// The lower bits of an id's first number, which keep instances of one moment apart: milliseconds of 1970 to 2527 take the
/// 44 above them.
const TELLS_APART: u32 = 20;

/// When a message of this id was published, in ms since 1970; `None` for another program's id.
pub(crate) fn published(id: &MessageId) -> Option<u64> {
    match id {
        MessageId::Entry { ms, .. } => Some(ms >> TELLS_APART),
        _ => None,
    }
}

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Locks; what a panicking task left is as good as any, as no lock is held over a step that can fail.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all parts of one broker share.
pub(crate) struct Client {
    pub(crate) config: RabbitMqConfig,
    pub(crate) context: OpenContext,
    /// Publishing has a connection of its own: a server that lacks memory or disk stops reading from it, acks included.
    pub(crate) publishing: Link,
    pub(crate) consuming: Link,
    pub(crate) senders: Senders,
    /// What is read in order.
    pub(crate) groups: Groups,
    /// What is read of logs.
    pub(crate) readers: log::Groups,
    pub(crate) known: Known,
    /// One walk through dead letters at a time: what one has in hand, another would miss.
    pub(crate) walking: tokio::sync::Mutex<()>,
    /// Members of groups by the fences of their sessions.
    sessions: Mutex<HashMap<u64, Weak<Consumer>>>,
    /// The first fence of this instance; they count up from here.
    first_fence: u64,
    next_fence: AtomicU64,
    /// Tells this instance's message ids from those of others in the same millisecond.
    instance: u64,
    next_id: AtomicU64,
    closed: AtomicBool,
    pub(crate) closing: Notify,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    pub(crate) fn new(config: RabbitMqConfig, context: OpenContext) -> Self {
        let first_fence = fastrand::u64(1..u64::MAX / 2);
        Self {
            config,
            context,
            publishing: Link::new("publishing", false),
            consuming: Link::new("consuming", true),
            senders: Senders::default(),
            groups: Groups::default(),
            readers: log::Groups::default(),
            known: Known::default(),
            walking: tokio::sync::Mutex::default(),
            sessions: Mutex::default(),
            first_fence,
            next_fence: AtomicU64::new(first_fence),
            instance: fastrand::u64(0..1 << TELLS_APART),
            next_id: AtomicU64::new(fastrand::u64(0..1 << 32)),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            keeper: Mutex::default(),
        }
    }

    /// Refuses what comes after closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The connection for publishing.
    pub(crate) async fn to_publish(&self) -> Result<Arc<Live>> {
        self.check_open()?;
        self.publishing.connect(&self.config, &self.context).await
    }

    /// The connection for reading, and for making what is read.
    pub(crate) async fn to_consume(&self) -> Result<Arc<Live>> {
        self.check_open()?;
        self.consuming.connect(&self.config, &self.context).await
    }

    /// A channel for a few questions, which the first refusal ends.
    pub(crate) async fn asking(&self) -> Result<Channel> {
        self.to_consume().await?.channel().await
    }

    /// An id for a message that is published here; it tells when, to the millisecond.
    pub(crate) fn id(&self) -> MessageId {
        MessageId::Entry {
            ms: (crate::settle::now() << TELLS_APART) | self.instance,
            seq: self.next_id.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// A fence for a member's new session.
    pub(crate) fn fence(&self, consumer: &Weak<Consumer>) -> u64 {
        let fence = self.next_fence.fetch_add(1, Ordering::Relaxed);
        lock(&self.sessions).insert(fence, Weak::clone(consumer));
        fence
    }

    /// Whose session a fence belongs to.
    pub(crate) fn session(&self, fence: u64) -> Option<Arc<Consumer>> {
        lock(&self.sessions).get(&fence).and_then(Weak::upgrade)
    }

    /// Whether a fence was given here, whatever became of its session.
    pub(crate) fn gave(&self, fence: u64) -> bool {
        (self.first_fence..self.next_fence.load(Ordering::Relaxed)).contains(&fence)
    }

    /// Forgets a session.
    pub(crate) fn forget(&self, fence: u64) {
        lock(&self.sessions).remove(&fence);
    }

    /// The members that have a session.
    pub(crate) fn members(&self) -> Vec<Arc<Consumer>> {
        lock(&self.sessions).values().filter_map(Weak::upgrade).collect()
    }

    /// Starts the task that ends leases, unless it runs.
    pub(crate) fn keep_leases(self: &Arc<Self>) {
        let mut keeper = lock(&self.keeper);
        if keeper.is_none() && !self.is_closed() {
            *keeper = Some(tokio::spawn(crate::leases::keep(Arc::downgrade(self))));
        }
    }

    /// Asks the server for a sign of life.
    pub(crate) async fn ping(&self) -> Result<()> {
        let channel = self.asking().await?;
        let answer = channel.close(200, "ping".into()).await;
        answer.map_err(|error| crate::error::from_lapin(&error))
    }

    /// Wakes who waits, and ends the connections.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
        let keeper = lock(&self.keeper).take();
        if let Some(keeper) = keeper {
            keeper.abort();
            let _ = keeper.await;
        }
        // What a silent server does not hear of counts as it has it.
        let finishing = async { tokio::join!(self.groups.finish(self), self.readers.finish(self)) };
        let _ = tokio::time::timeout(GOODBYE, finishing).await;
        self.senders.clear();
        tokio::join!(self.publishing.close(GOODBYE), self.consuming.close(GOODBYE));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.abort();
        }
    }
}
