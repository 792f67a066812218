//! What a stream's publishers share under one lock.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;
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
    /// Up to how many messages nobody needs to look for some to let go of.
    ease: usize,
    pub(crate) delayed: Delayed,
    pub(crate) ids: RecentIds,
    /// All groups by name, and those deleted that somebody still holds.
    pub(crate) groups: Vec<Arc<Group>>,
    /// Where the members of each group wait, and each listener.
    pub(crate) gates: Vec<Arc<Gate>>,
    /// Publishers that wait for room, in their order.
    pub(crate) queue: VecDeque<Arc<Notify>>,
    /// The partition for the next message without a key.
    pub(crate) turn: u32,
    /// Whether there is anything that an operator should see.
    pub(crate) live: bool,
}

/// There is no room, and some group needs all that there is.
pub(super) struct Full;

impl State {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            logs: (0..limits.partitions)
                .map(|partition| Log::new(partition, limits.segments()))
                .collect(),
            kept: 0,
            bytes: 0,
            ease: limits.capacity.min(limits.history),
            delayed: Delayed::default(),
            ids: RecentIds::new(limits.idempotency_window),
            groups: Vec::new(),
            gates: Vec::new(),
            queue: VecDeque::new(),
            turn: 0,
            live: false,
        }
    }

    /// The groups that are not deleted.
    pub(crate) fn live_groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter().filter(|group| group.is_live())
    }

    /// The oldest offset of a partition that some group needs; the tail where none does.
    pub(crate) fn floor(&self, partition: usize) -> u64 {
        let tail = self.logs.get(partition).map_or(0, Log::tail);
        self.groups
            .iter()
            .map(|group| group.low(partition))
            .min()
            .unwrap_or(tail)
            .min(tail)
    }

    /// Makes room for `count` messages of `bytes` by letting go of history that no group needs, which is handed out to
    /// be dropped without the lock.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        limits: &Limits,
        count: usize,
        bytes: usize,
    ) -> Result<Option<Cut>, Full> {
        if self.has_room(limits, count, bytes) {
            return Ok(None);
        }
        self.evict(limits, count, bytes).map(Some)
    }

    /// Whether there is room without letting go of anything.
    #[inline]
    pub(super) fn has_room(&self, limits: &Limits, count: usize, bytes: usize) -> bool {
        self.kept + count <= self.ease && self.bytes + bytes <= limits.capacity_bytes
    }

    #[cold]
    fn evict(&mut self, limits: &Limits, count: usize, bytes: usize) -> Result<Cut, Full> {
        let floors: SmallVec<[u64; 8]> = (0..self.logs.len())
            .map(|partition| self.floor(partition))
            .collect();
        let heads = self.logs.iter().map(Log::head);
        let settled: u64 = heads
            .zip(&floors)
            .map(|(head, floor)| floor.saturating_sub(head))
            .sum();
        let mut wanted = (self.kept + count).saturating_sub(limits.capacity) as u64;
        if wanted > settled {
            return Err(Full);
        }
        if self.live_groups().next().is_some() {
            wanted = wanted.max(settled.saturating_sub(limits.history as u64));
        }
        let mut cut = Cut::default();
        loop {
            let over = wanted.saturating_sub(cut.messages);
            let over_bytes = (self.bytes + bytes).saturating_sub(limits.capacity_bytes);
            if over == 0 && over_bytes == 0 {
                break;
            }
            let oldest = self
                .logs
                .iter_mut()
                .zip(&floors)
                .filter(|(log, floor)| log.head() < **floor)
                .min_by_key(|(log, _)| log.oldest());
            let (log, floor) = oldest.ok_or(Full)?;
            let some = log.cut_some(*floor, over, over_bytes);
            self.forget(&some);
            cut.join(some);
        }
        let spare = limits
            .history
            .saturating_sub(index(settled.saturating_sub(cut.messages)));
        let until = self.kept + count + spare.max(limits.history / 8);
        self.ease = until.min(limits.capacity);
        Ok(cut)
    }

    /// Counts what a log let go of.
    pub(crate) fn forget(&mut self, cut: &Cut) {
        self.kept -= index(cut.messages);
        self.bytes = self.bytes.saturating_sub(cut.bytes);
    }

    /// Lets whoever waits at `gate` be woken, for as long as somebody holds it.
    pub(super) fn open_gate(&mut self, gate: &Arc<Gate>) {
        self.gates.retain(|gate| Arc::strong_count(gate) > 1);
        self.gates.push(gate.clone());
    }

    /// Whether somebody sleeps: who goes to sleep says so before it [meets](super::Stream::meet_publishers) those who
    /// hold this.
    #[inline]
    pub(super) fn has_sleepers(&self) -> bool {
        self.gates.iter().any(|gate| gate.has_sleepers())
    }

    /// The gates that somebody sleeps at: who is to be woken once the lock is free.
    pub(super) fn sleepers(&self) -> SmallVec<[Arc<Gate>; 4]> {
        self.gates
            .iter()
            .filter(|gate| gate.has_sleepers())
            .cloned()
            .collect()
    }
}
