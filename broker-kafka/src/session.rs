//! A group's membership in this process: what its poller brings in and its members take and settle.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

use broker_core::base::{Deliveries, HealthReport};
use broker_core::{ConsumerName, GroupName, Receipt, ReceiptRun, Settled, Settlements, StreamName};
use broker_window::{Moment, Purpose, Who};
use tokio::sync::Notify;

use crate::chunk::Chunk;
use crate::client::{Client, lock};
use crate::intake::Arrived;
use crate::orders::{Order, Orders};
use crate::partition::{Reading, usual};
use crate::places::Places;
use crate::poller::GroupConsumer;
use crate::state::{Member, State};

/// A group's membership in this process.
pub(crate) struct Session {
    pub(crate) stream: StreamName,
    pub(crate) group: GroupName,
    pub(crate) places: Places,
    state: Mutex<State>,
    /// Told when something may be read.
    pub(crate) arrived: Notify,
    /// Told when a commit was answered, and when there is none to wait for.
    pub(crate) committed: Notify,
    pub(crate) orders: Orders,
    poller: Mutex<Option<Thread>>,
    /// The library's client, for as long as the poller has it.
    consumer: Mutex<Weak<GroupConsumer>>,
    /// Read calls that wait.
    readers: AtomicUsize,
    ended: AtomicBool,
    clock: Instant,
}

/// A delivery's message.
pub(crate) struct Peeked {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) index: usize,
    pub(crate) first_failed: Option<SystemTime>,
}

/// Tells each ownership of a partition in this process from all others.
static EPOCHS: AtomicU32 = AtomicU32::new(1);

/// A number that no other ownership in this process has.
pub(crate) fn next_epoch() -> u32 {
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

impl Session {
    pub(crate) fn new(client: &Arc<Client>, stream: &StreamName, group: &GroupName, places: Places) -> Self {
        Self {
            stream: stream.clone(),
            group: group.clone(),
            places,
            state: Mutex::new(State::new(client.context.config.message_timeout)),
            arrived: Notify::new(),
            committed: Notify::new(),
            orders: Orders::new(),
            poller: Mutex::default(),
            consumer: Mutex::default(),
            readers: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            clock: Instant::now(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.clock.elapsed())
    }

    /// How long from now until `moment`.
    pub(crate) fn until(&self, moment: Moment) -> Duration {
        match moment {
            Moment::NEVER => Duration::MAX,
            moment => moment.since(self.now()),
        }
    }

    /// Whether it has left the group, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.arrived.notify_waiters();
    }

    pub(crate) fn set_poller(&self, thread: Thread, consumer: Weak<GroupConsumer>) {
        *lock(&self.poller) = Some(thread);
        *lock(&self.consumer) = consumer;
    }

    /// The library's client, unless the group was left.
    pub(crate) fn consumer(&self) -> Option<Arc<GroupConsumer>> {
        lock(&self.consumer).upgrade()
    }

    /// Has the poller look at things now.
    pub(crate) fn wake(&self) {
        if let Some(thread) = lock(&self.poller).as_ref() {
            thread.unpark();
        }
    }

    /// Asks the poller to do something.
    pub(crate) fn order(&self, order: Order) {
        self.orders.push(order);
        self.wake();
    }

    /// The member of that name.
    pub(crate) fn member(&self, name: &ConsumerName, lease: Duration) -> Who {
        let mut state = self.state();
        state.lease = lease;
        state.users += 1;
        state.left = false;
        let seen = Instant::now();
        // Numbers are not used again: an old receipt must not become a new member's.
        let next = state.numbered;
        state.numbered += u32::from(!state.members.contains_key(name));
        let member = state.members.entry(name.clone()).or_insert_with(|| Member {
            who: Who::member(next).unwrap_or(Who::NOBODY),
            seen,
        });
        member.seen = seen;
        member.who
    }

    /// The member of that name, if there is one.
    pub(crate) fn who(&self, name: &ConsumerName) -> Option<Who> {
        self.state().members.get(name).map(|member| member.who)
    }

    /// A consumer is gone; with `leave`, it said so. What it has in hand stays until it is settled.
    pub(crate) fn forget(&self, leave: bool) {
        let mut state = self.state();
        state.users = state.users.saturating_sub(1);
        state.left = leave && state.users == 0;
        state.used = Some(Instant::now());
        drop(state);
        self.wake();
    }

    /// Takes a member's deliveries away and readies them for the others; answers how many, where it is one.
    pub(crate) fn remove(&self, name: &ConsumerName) -> Option<u64> {
        let mut state = self.state();
        let member = state.members.remove(name)?;
        let partitions = state.partitions.values_mut();
        let moved = partitions
            .map(|partition| partition.window.release(member.who))
            .sum();
        drop(state);
        self.arrived.notify_waiters();
        Some(moved)
    }

    /// How long the oldest delivery has been out.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        let (state, now) = (self.state(), self.now());
        let partitions = state.partitions.values();
        let oldest = partitions
            .filter_map(|partition| partition.window.oldest())
            .min()?;
        Some(now.since(oldest))
    }

    /// Waits until the server has given out partitions.
    pub(crate) async fn wait_until_assigned(&self, within: Duration) -> broker_core::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let owned = self.state().partitions.len();
            if self.has_ended() || owned == self.places.numbers().len() {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                // Others own the rest, which whoever asked is told.
                return Ok(());
            }
        }
    }

    /// Adds to a health report.
    pub(crate) fn describe(&self, report: &mut HealthReport) {
        self.state().describe(&self.name(), report);
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.stream, self.group)
    }

    /// What settling `receipt` would answer, or the message that it is for.
    fn peek(&self, receipt: Receipt, who: Who) -> std::result::Result<Peeked, Settled> {
        let now = self.now();
        let state = self.state();
        if receipt.attempt == 0 {
            return Err(Settled::NotPending);
        }
        let partition = state.partitions.get(&receipt.partition);
        let partition = partition.ok_or_else(|| state.settled_in_past(receipt))?;
        if u64::from(partition.epoch) != receipt.fence >> 32 {
            return Err(partition.settled_before(receipt.sequence));
        }
        let tag = partition.tag(receipt);
        partition.window.check(receipt.sequence, tag, who, now)?;
        let (chunk, index) = partition.find(receipt.sequence).ok_or(Settled::NotPending)?;
        let before = chunk.retried(index).and_then(|retried| retried.first_failed);
        Ok(Peeked {
            first_failed: before.or_else(|| partition.window.first_failed(receipt.sequence)),
            chunk,
            index,
        })
    }

    /// What lies behind each receipt that is to be written elsewhere, where its leases are kept for so long: one that
    /// ended meanwhile would have its message in both places.
    pub(crate) fn peek_to_move(
        &self,
        runs: &[ReceiptRun],
        who: Who,
        within: Duration,
    ) -> Vec<(Receipt, std::result::Result<Peeked, Settled>)> {
        self.settle(runs, who, Purpose::Extend(self.now().after(within)));
        let receipts = runs.iter().flat_map(|run| run.iter());
        receipts
            .map(|receipt| (receipt, self.peek(receipt, who)))
            .collect()
    }

    /// The members with what each holds, and how long ago each was seen.
    pub(crate) fn members(&self) -> Vec<(ConsumerName, u64, Duration)> {
        let state = self.state();
        let holds = |who: Who| {
            let held = state
                .partitions
                .values()
                .flat_map(|partition| partition.window.holders());
            held.filter(|holder| *holder == who).count() as u64
        };
        let members = state.members.iter();
        members
            .map(|(name, member)| (name.clone(), holds(member.who), member.seen.elapsed()))
            .collect()
    }

    /// Hands out what is there.
    pub(crate) fn read(&self, max: usize, who: Who, lease: Duration, sequential: bool) -> Deliveries {
        let now = self.now();
        let reading = Reading {
            who,
            now,
            deadline: now.after(lease),
            sequential,
        };
        let mut out = Deliveries::new();
        let mut state = self.state();
        state.used = Some(Instant::now());
        let turn = state.turn;
        let mut left = max;
        // Each read begins behind the partition that the one before it took from, so that none starves.
        let mut next = turn;
        for part in [turn..u32::MAX, 0..turn] {
            for (number, partition) in state.partitions.range_mut(part) {
                if left == 0 {
                    break;
                }
                let count = partition.read(left, reading, &mut out);
                left -= count;
                if count > 0 {
                    next = number + 1;
                }
            }
        }
        state.turn = next;
        drop(state);
        if left < max {
            // What is out has to be committed, and what is due to end, ends.
            self.wake();
        }
        out
    }

    /// Settles; one answer per receipt, in order.
    pub(crate) fn settle(&self, runs: &[ReceiptRun], who: Who, purpose: Purpose) -> Settlements {
        let now = self.now();
        let mut answers = Settlements::all(usual(purpose), 0);
        let mut state = self.state();
        state.used = Some(Instant::now());
        let mut readied = false;
        for run in runs {
            let epoch = run.first.fence >> 32;
            let mut push = |settled, count| {
                for _ in 0..count {
                    answers.push(settled);
                }
            };
            match state.partitions.get_mut(&run.first.partition) {
                _ if run.first.attempt == 0 => push(Settled::NotPending, run.len),
                Some(partition) if u64::from(partition.epoch) == epoch => {
                    readied |= partition.settle(*run, who, purpose, now, push);
                }
                // Of an earlier ownership: what was settled is known all the same.
                Some(partition) => {
                    for receipt in run.iter() {
                        push(partition.settled_before(receipt.sequence), 1);
                    }
                }
                None => {
                    for receipt in run.iter() {
                        push(state.settled_in_past(receipt), 1);
                    }
                }
            }
        }
        drop(state);
        if readied {
            self.arrived.notify_waiters();
        }
        self.wake();
        answers
    }

    /// Takes in what came; answers whether something can be read now.
    pub(crate) fn arrive(&self, arrived: impl Iterator<Item = Arrived>) -> bool {
        let mut state = self.state();
        // Once the lock is held: what is due by the clock of the day is counted from here.
        let now = self.now();
        let mut any = false;
        for one in arrived {
            match one {
                Arrived::Chunk(number, chunk) => {
                    if let Some(partition) = state.partitions.get_mut(&number) {
                        partition.arrive(chunk, now);
                        any = true;
                    }
                }
                Arrived::Passed(number, offset) => {
                    if let Some(partition) = state.partitions.get_mut(&number) {
                        partition.pass(offset);
                    }
                }
            }
        }
        state.trouble = None;
        if any {
            state.silent = None;
        }
        drop(state);
        if any {
            self.arrived.notify_waiters();
        }
        any
    }

    /// A call that waits to read, for as long as the answer lives.
    pub(crate) fn reading(&self) -> ReaderWaits<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        ReaderWaits(self)
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }
}

/// A read call that waits.
pub(crate) struct ReaderWaits<'a>(&'a Session);

impl Drop for ReaderWaits<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
        self.0.state().used = Some(Instant::now());
    }
}
