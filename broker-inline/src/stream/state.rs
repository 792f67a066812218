//! What a stream's publishers share under one lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use broker_core::GroupName;
use tokio::sync::Notify;

use super::delayed::Delayed;
use super::ids::RecentIds;
use crate::gate::Gate;
use crate::group::Group;
use crate::limits::Limits;
use crate::log::{Cut, Log};
use crate::number::index;

/// What a stream's publishers share under one lock. Readers take it only where they lost their way in a log.
#[derive(Debug)]
pub(crate) struct State {
    /// By partition.
    pub(crate) logs: Vec<Log>,
    /// Messages in the logs and delayed ones.
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
    pub(crate) delayed: Delayed,
    pub(crate) ids: RecentIds,
    /// All groups, and those deleted that somebody still holds.
    pub(crate) groups: BTreeMap<GroupName, Arc<Group>>,
    pub(crate) listeners: Vec<Weak<Gate>>,
    /// Publishers that wait for room, in their order.
    pub(crate) queue: VecDeque<Arc<Notify>>,
    /// The partition for the next message without a key.
    pub(crate) turn: u32,
    /// Whether there is anything that an operator should see.
    pub(crate) live: bool,
}

impl State {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            logs: (0..limits.partitions)
                .map(|partition| Log::new(partition, limits.segments()))
                .collect(),
            kept: 0,
            bytes: 0,
            delayed: Delayed::default(),
            ids: RecentIds::new(limits.idempotency_window),
            groups: BTreeMap::new(),
            listeners: Vec::new(),
            queue: VecDeque::new(),
            turn: 0,
            live: false,
        }
    }

    /// The groups that are not deleted.
    pub(crate) fn live_groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values().filter(|group| group.is_live())
    }

    /// The oldest offset of a partition that some group needs; the tail where none does.
    pub(crate) fn floor(&self, partition: usize) -> u64 {
        let tail = self.logs.get(partition).map_or(0, Log::tail);
        self.groups
            .values()
            .map(|group| group.low(partition))
            .min()
            .unwrap_or(tail)
            .min(tail)
    }

    /// Makes room for `count` messages of `bytes` by letting go of history that no group needs.
    #[inline]
    pub(crate) fn make_room(&mut self, limits: &Limits, count: usize, bytes: usize, cut: &mut Cut) -> bool {
        let fits = self.kept + count <= limits.capacity && self.bytes + bytes <= limits.capacity_bytes;
        fits || self.evict(limits, count, bytes, cut)
    }

    #[cold]
    fn evict(&mut self, limits: &Limits, count: usize, bytes: usize, cut: &mut Cut) -> bool {
        let floors: Vec<u64> = (0..self.logs.len())
            .map(|partition| self.floor(partition))
            .collect();
        let free: u64 = self
            .logs
            .iter()
            .zip(&floors)
            .map(|(log, floor)| floor.saturating_sub(log.head()))
            .sum();
        if self.kept + count > limits.capacity.saturating_add(index(free)) {
            return false;
        }
        loop {
            let over = (self.kept + count).saturating_sub(limits.capacity);
            let over_bytes = (self.bytes + bytes).saturating_sub(limits.capacity_bytes);
            if over == 0 && over_bytes == 0 {
                return true;
            }
            let oldest = self
                .logs
                .iter_mut()
                .zip(&floors)
                .filter(|(log, floor)| log.head() < **floor)
                .min_by_key(|(log, _)| log.oldest());
            let Some((log, floor)) = oldest else {
                return false;
            };
            let some = log.cut_some(*floor, over as u64, over_bytes);
            self.forget(&some);
            cut.join(some);
        }
    }

    /// Counts what a log let go of.
    pub(crate) fn forget(&mut self, cut: &Cut) {
        self.kept -= index(cut.messages);
        self.bytes = self.bytes.saturating_sub(cut.bytes);
    }

    /// The gates that somebody waits at: who is to be woken once the lock is free.
    pub(crate) fn waiting(&mut self) -> Audience {
        let groups = self
            .groups
            .values()
            .filter(|group| group.gate.waiting() > 0)
            .cloned()
            .collect();
        let listeners = self
            .listeners
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|gate| gate.waiting() > 0)
            .collect();
        Audience { groups, listeners }
    }

    /// Whether somebody waits. Meaningful only after a fence.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.groups.values().any(|group| group.gate.waiting() > 0)
            || self
                .listeners
                .iter()
                .any(|gate| gate.upgrade().is_some_and(|gate| gate.waiting() > 0))
    }
}

/// Who waits for messages of a stream.
#[derive(Default)]
pub(crate) struct Audience {
    groups: Vec<Arc<Group>>,
    listeners: Vec<Arc<Gate>>,
}

impl Audience {
    /// There are `messages` more to read.
    pub(crate) fn tell(&self, messages: u64) {
        self.groups.iter().for_each(|group| group.gate.wake(messages));
        self.listeners.iter().for_each(|gate| gate.wake_all());
    }

    /// Something is to be looked at again, such as the clock.
    pub(crate) fn tell_all(&self) {
        self.groups.iter().for_each(|group| group.gate.wake_all());
        self.listeners.iter().for_each(|gate| gate.wake_all());
    }
}
