//! A named place that messages are published to.

use std::sync::Arc;

use broker_core::{BrokerEvent, GroupName, MessageId, StreamInfo, StreamName};
use broker_window::Moment;

use super::state::State;
use crate::clock::{Clock, Stamp};
use crate::events::Events;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::log::Feed;
use crate::log::Log;
use crate::log::Segment;
use crate::sync::{Apart, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};

/// A stream. It stays the same object when it is deleted and used again, so that whoever holds it goes on with it.
///
/// Locks are taken in this order: a group's progress, then the stream's state. A publisher takes the state alone, a
/// reader a progress alone; they meet in the tails.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: StreamName,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    events: Arc<Events>,
    /// Numbers groups for as long as the state lives; no receipt fits two of them.
    group_ids: Arc<AtomicU64>,
    /// By partition.
    tails: Box<[Tail]>,
    /// When the next delayed message is due.
    delayed_due: AtomicU64,
    /// How many publishers wait for room.
    pub(super) blocked: AtomicUsize,
    /// How many messages became free since a publisher was last told so.
    pub(super) freed: AtomicUsize,
    state: Apart<Mutex<State>>,
}

/// How far a partition's log goes.
#[derive(Debug, Default)]
struct Tail {
    /// The offset after the newest message.
    newest: Apart<AtomicU64>,
    /// The offset after the newest message that lies in a segment, where readers find it without the lock.
    settled: Apart<AtomicU64>,
}

/// A stream in numbers, for health.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) groups: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) delayed: u64,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
    pub(crate) warnings: Vec<String>,
}

impl Stream {
    pub(crate) fn new(
        name: StreamName,
        limits: Limits,
        clock: Clock,
        events: Arc<Events>,
        group_ids: Arc<AtomicU64>,
    ) -> Self {
        Self {
            name,
            limits,
            clock,
            events,
            group_ids,
            tails: (0..limits.partitions).map(|_| Tail::default()).collect(),
            delayed_due: AtomicU64::new(Moment::NEVER.0),
            blocked: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
            state: Apart(Mutex::new(State::new(&limits))),
        }
    }

    /// Locks the state, with all messages in segments.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_fresh();
        self.settle(&mut state);
        state
    }

    /// Locks the state, of whose logs the newest messages may be in no segment yet.
    #[inline]
    pub(super) fn lock_fresh(&self) -> MutexGuard<'_, State> {
        self.state.0.lock()
    }

    /// Puts the newest messages into segments.
    pub(super) fn settle(&self, state: &mut State) {
        for (partition, log) in state.logs.iter_mut().enumerate() {
            if log.settle() {
                self.publish_settled(partition, log);
            }
        }
    }

    /// After this either what a publisher stored before is seen, or the publisher sees who said that it sleeps: one of
    /// the two has the lock first.
    pub(crate) fn meet_publishers(&self) {
        drop(self.lock_fresh());
    }

    pub(super) fn next_group_id(&self) -> u64 {
        self.group_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// How many partitions there are.
    #[inline]
    pub(crate) fn partitions(&self) -> usize {
        self.tails.len()
    }

    /// The offset after the newest message of a partition.
    pub(crate) fn tail(&self, partition: usize) -> u64 {
        self.tails
            .get(partition)
            .map_or(0, |tail| tail.newest.0.load(Ordering::Acquire))
    }

    /// Shows readers what a log has; under the lock.
    #[inline]
    pub(super) fn publish_tail(&self, partition: usize, log: &Log) {
        if let Some(tail) = self.tails.get(partition) {
            tail.newest.0.store(log.tail(), Ordering::Release);
        }
    }

    /// Shows readers what a log has in segments; under the lock.
    #[inline]
    pub(super) fn publish_settled(&self, partition: usize, log: &Log) {
        if let Some(tail) = self.tails.get(partition) {
            tail.settled.0.store(log.settled(), Ordering::Release);
        }
    }

    /// Reads a partition's log.
    #[inline]
    pub(crate) fn with_feed<R>(&self, partition: usize, work: impl FnOnce(&Feed<'_>) -> R) -> R {
        static NONE: AtomicU64 = AtomicU64::new(0);
        let tail = self.tails.get(partition);
        work(&Feed {
            partition: u32::try_from(partition).unwrap_or(u32::MAX),
            newest: tail.map_or(&NONE, |tail| &tail.newest.0),
            settled: tail.map_or(&NONE, |tail| &tail.settled.0),
            find: &|offset| self.find(partition, offset),
        })
    }

    /// The segment of an offset, or the first one kept after it.
    pub(crate) fn find(&self, partition: usize, offset: u64) -> Option<Arc<Segment>> {
        self.lock().logs.get(partition)?.find(offset)
    }

    /// When the next delayed message is due.
    #[inline]
    pub(crate) fn delayed_due(&self) -> Moment {
        Moment(self.delayed_due.load(Ordering::Relaxed))
    }

    /// Shows readers when the next delayed message is due; under the lock. Answers whether that is sooner than it was.
    pub(super) fn publish_due(&self, state: &State) -> bool {
        let due = state.delayed.due();
        self.delayed_due.swap(due.0, Ordering::Relaxed) > due.0
    }

    /// Moves delayed messages that are due at `now` to their logs.
    #[inline]
    pub(crate) fn admit(&self, now: Moment) {
        if self.delayed_due() <= now {
            self.admit_slowly(now);
        }
    }

    #[cold]
    fn admit_slowly(&self, now: Moment) {
        let mut state = self.lock();
        let admitted = self.admit_locked(&mut state, now);
        Self::unlock_and_tell(state, admitted);
    }

    pub(super) fn admit_locked(&self, state: &mut State, now: Moment) -> u64 {
        let mut admitted = 0;
        let at = Stamp::now();
        while let Some(named) = state.delayed.pop(now) {
            let partition = named.partition as usize;
            if let Some(log) = state.logs.get_mut(partition) {
                log.append_named(vec![named], at);
                self.publish_settled(partition, log);
                self.publish_tail(partition, log);
                admitted += 1;
            }
        }
        self.publish_due(state);
        admitted
    }

    /// Gives the lock back, and wakes as many of each group as there are `messages` for.
    #[inline(always)]
    pub(super) fn unlock_and_tell(state: MutexGuard<'_, State>, messages: u64) {
        if state.has_sleepers() {
            Self::unlock_and_wake(state, messages);
        }
    }

    #[cold]
    fn unlock_and_wake(state: MutexGuard<'_, State>, messages: u64) {
        let sleepers = state.sleepers();
        drop(state);
        sleepers.iter().for_each(|gate| gate.wake(messages));
    }

    /// Registers a listener's gate.
    pub(crate) fn listen(&self, gate: &Arc<Gate>) {
        self.lock().open_gate(gate);
    }

    /// Wakes all who wait, for messages or for room: the broker was closed.
    pub(crate) fn wake_everybody(&self) {
        let state = self.lock();
        let queue: Vec<_> = state.queue.iter().cloned().collect();
        Self::unlock_and_tell(state, u64::MAX);
        queue.iter().for_each(|publisher| publisher.notify_one());
    }

    /// Tells all brokers that share the stream.
    pub(crate) fn tell(&self, event: &BrokerEvent) {
        self.events.send(event);
    }

    /// Tells that messages a group needed are gone.
    pub(crate) fn tell_lost(&self, group: &GroupName, count: u64) {
        self.tell(&BrokerEvent::MessagesLost {
            stream: self.name.clone(),
            group: group.clone(),
            count,
        });
    }

    /// Whether there is anything that an operator should see.
    pub(crate) fn is_live(&self) -> bool {
        self.lock().live
    }

    /// What an operator sees; `None` where there is nothing.
    pub(crate) fn info(&self) -> Option<StreamInfo> {
        self.admit(self.clock.now());
        let state = self.lock();
        if !state.live {
            return None;
        }
        let by_age = |log: &&Log| log.oldest();
        let filled = || state.logs.iter().filter(|log| log.len() > 0);
        let first: Option<MessageId> = filled().min_by_key(by_age).and_then(|log| log.id_at(log.head()));
        let last = filled()
            .max_by_key(|log| log.newest())
            .and_then(|log| log.id_at(log.tail() - 1));
        Some(StreamInfo {
            stream: self.name.clone(),
            messages: state.logs.iter().map(Log::len).sum(),
            partitions: self.limits.partitions,
            first,
            last,
        })
    }

    /// The stream in numbers.
    pub(crate) fn summary(&self) -> Summary {
        let state = self.lock();
        let groups: Vec<_> = state.live_groups().cloned().collect();
        let mut summary = Summary {
            groups: groups.len() as u64,
            messages: state.kept as u64,
            bytes: state.bytes as u64,
            delayed: state.delayed.len() as u64,
            ..Summary::default()
        };
        if let waiting @ 1.. = state.queue.len() {
            let holding = (0..state.logs.len())
                .filter(|partition| state.floor(*partition) < state.logs.get(*partition).map_or(0, Log::tail))
                .filter_map(|partition| state.live_groups().min_by_key(|group| group.low(partition)))
                .map(|group| format!(" for group `{}`", group.name))
                .next()
                .unwrap_or_default();
            summary.warnings.push(format!(
                "stream `{}` is full{holding}; {waiting} publishers wait",
                self.name
            ));
        }
        drop(state);
        for group in groups {
            summary.pending += group.pending();
            let (dead, full) = group.dead(|dead| (dead.len(), dead.is_full()));
            summary.dead += dead as u64;
            if full {
                summary.warnings.push(format!(
                    "group `{}` of stream `{}` has {dead} dead letters and no room for more; replay or purge some",
                    group.name, self.name
                ));
            }
            if group.is_stuck() {
                summary.warnings.push(format!(
                    "group `{}` of stream `{}` has its oldest delivery unsettled and {} behind it; settle it",
                    group.name, self.name, self.limits.max_unsettled
                ));
            }
        }
        summary
    }

    /// Removes everything. Whoever holds the stream or one of its groups goes on with it, empty.
    pub(crate) fn clear(&self) -> bool {
        let mut state = self.lock();
        let was_live = std::mem::take(&mut state.live);
        let groups: Vec<_> = state.groups.clone();
        drop(state);
        for group in &groups {
            // By force nothing refuses.
            let _ = group.end(true);
        }
        let mut state = self.lock();
        let mut cut = crate::log::Cut::default();
        for partition in 0..state.logs.len() {
            if let Some(log) = state.logs.get_mut(partition) {
                let tail = log.tail();
                cut.join(log.cut(tail));
            }
        }
        state.kept = 0;
        state.bytes = 0;
        state.delayed.clear();
        state.ids.clear();
        state.forget_unused_groups();
        self.publish_due(&state);
        drop(state);
        drop(cut);
        self.wake_publisher();
        was_live
    }
}
