//! What this process knows about a group.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use broker_core::{GroupName, StreamName};
use broker_redis_common::Listener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::keys::{GroupKeys, StreamKeys};
use crate::time::{EntryId, millis};

/// What stands in place of a group's name where all groups are told.
pub(crate) const EVERYBODY: &str = "*";

/// What this process knows about a group; its readers share it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) stream: StreamName,
    pub(crate) name: GroupName,
    pub(crate) keys: GroupKeys,
    /// The partition's number, where there are several.
    pub(crate) partition: Option<u32>,
    /// The token for plain acks that the server told last.
    fast: AtomicU32,
    /// Rises with each move of the group; receipts of an older one are stale.
    epoch: AtomicU32,
    /// When something rests no longer, as far as this process knows.
    due: Mutex<Option<Instant>>,
    /// The newest entry that this process has seen.
    last_seen: Mutex<Option<EntryId>>,
    /// Whether other processes are heard; unset until that was begun.
    heard: Mutex<Option<bool>>,
    /// Told when `due` comes nearer.
    pub(crate) nearer: Notify,
    /// The shortest lease of this process's members, in milliseconds.
    shortest_lease: AtomicU64,
    /// Told when that becomes shorter.
    pub(crate) shorter: Notify,
}

impl Group {
    pub(crate) fn new(stream: &StreamKeys, group: &GroupName) -> Self {
        Self {
            stream: stream.name.clone(),
            name: group.clone(),
            partition: stream.number(),
            keys: stream.group(group),
            fast: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            due: Mutex::default(),
            last_seen: Mutex::default(),
            heard: Mutex::default(),
            nearer: Notify::new(),
            shortest_lease: AtomicU64::new(u64::MAX),
            shorter: Notify::new(),
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes note of the epoch the server told. Answers may overtake each other, and epochs only rise.
    pub(crate) fn learn_epoch(&self, epoch: u32) {
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Takes note of the token for plain acks; answers whether it is the one known before.
    pub(crate) fn learn_token(&self, token: u32) -> bool {
        self.fast.swap(token, Ordering::AcqRel) == token
    }

    /// When something is due, as far as this process knows.
    pub(crate) fn due(&self) -> Option<Instant> {
        *lock(&self.due)
    }

    /// A member with this lease has joined. Members may share a name, which has one lease at the server.
    pub(crate) fn joined(&self, lease: Duration) {
        let lease = millis(lease);
        if self.shortest_lease.fetch_min(lease, Ordering::AcqRel) > lease {
            self.shorter.notify_waiters();
        }
    }

    /// For how long the server certainly leaves a member what it was handed, whose own lease is `lease`.
    pub(crate) fn certain_lease(&self, lease: Duration) -> Duration {
        lease.min(Duration::from_millis(self.shortest_lease.load(Ordering::Acquire)))
    }

    /// The newest entry that this process has seen.
    pub(crate) fn last_seen(&self) -> Option<EntryId> {
        *lock(&self.last_seen)
    }

    /// Takes note of an entry that was handed out.
    pub(crate) fn saw(&self, id: EntryId) {
        let mut last = lock(&self.last_seen);
        *last = (*last).max(Some(id));
    }

    /// Something will be due after `wait`.
    pub(crate) fn due_in(&self, wait: Duration) {
        let at = Instant::now() + wait.min(Duration::from_secs(86_400));
        let mut due = lock(&self.due);
        if due.is_none_or(|known| at < known) {
            *due = Some(at);
            drop(due);
            self.nearer.notify_waiters();
        }
    }

    /// Whether somebody has to begin to hear other processes.
    pub(crate) fn begin_to_listen(&self) -> bool {
        lock(&self.heard).replace(false).is_none()
    }

    /// Takes note whether other processes are heard from now on; where that failed, the next member tries again.
    pub(crate) fn listens(&self, heard: bool) {
        *lock(&self.heard) = heard.then_some(true);
        // What was told before that.
        self.due_in(Duration::ZERO);
    }

    /// Whether other processes are heard.
    pub(crate) fn is_listening(&self) -> bool {
        *lock(&self.heard) == Some(true)
    }

    /// What is told of something that is due after `delay`: the partition, the time, and the group.
    pub(crate) fn wake_word(&self, delay: Duration) -> String {
        format!("{} {} {}", self.partition.unwrap_or(0), millis(delay), self.name)
    }

    /// The server was asked: nothing is due before `wait` has passed, or nothing at all.
    pub(crate) fn due_again(&self, wait: Option<Duration>) {
        *lock(&self.due) = wait.map(|wait| Instant::now() + wait.min(Duration::from_secs(86_400)));
    }
}

impl Listener for Group {
    fn hear(&self, _: &str, payload: &[u8]) {
        let word = String::from_utf8_lossy(payload);
        let mut parts = word.splitn(3, ' ');
        let mut number = || parts.next().and_then(|number| number.parse::<u64>().ok());
        let (Some(partition), Some(ms)) = (number(), number()) else {
            return;
        };
        let group = parts.next().unwrap_or_default();
        // A delayed message is due for all groups.
        let ours = group == EVERYBODY || group == self.name.as_str();
        if ours && partition == u64::from(self.partition.unwrap_or(0)) {
            self.due_in(Duration::from_millis(ms));
        }
    }

    fn missed(&self, _: SystemTime, _: Duration) {
        self.due_in(Duration::ZERO);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
