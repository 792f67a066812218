//! A group of consumers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker_core::base::Deliveries;
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupName, Receipt, ReceiptRun, Result, Settled, Settlements,
};
use broker_window::{Moment, Purpose, Who};

use super::dead_letters::DeadLetterStore;
use super::members::{Member, Members};
use super::progress::{Effects, Gone, Progress, Reading};
use super::replayed::{self, Replayed};
use crate::answers::Answers;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::stream::Stream;
use crate::sync::{AtomicUsize, Mutex, Ordering, fence};

/// A group of consumers: its progress in each partition, its members, its dead letters.
///
/// It stays the same object when it is deleted and made again, so that whoever holds it goes on with it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) name: GroupName,
    pub(crate) gate: Arc<Gate>,
    progress: Box<[Progress]>,
    pub(super) replayed: OnceLock<Box<Replayed>>,
    pub(super) members: Mutex<Members>,
    pub(super) dead: Mutex<DeadLetterStore>,
    /// How many subscriptions read for it.
    subscriptions: AtomicUsize,
    /// The partition that the next read starts with.
    turn: AtomicUsize,
    pub(super) limits: Limits,
}

/// A consumer as its reads and settlements see it.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) member: Arc<Member>,
    pub(crate) lease: Duration,
    pub(crate) sequential: bool,
    pub(crate) settles: bool,
}

impl Group {
    pub(crate) fn new(id: u64, name: GroupName, starts: &[u64], limits: Limits) -> Self {
        let progress = starts
            .iter()
            .map(|start| Progress::new(*start, limits.max_unsettled));
        Self {
            id,
            name,
            gate: Arc::new(Gate::new()),
            progress: progress.collect(),
            replayed: OnceLock::new(),
            members: Mutex::new(Members::default()),
            dead: Mutex::new(DeadLetterStore::new(limits.max_dead_letters)),
            subscriptions: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            limits,
        }
    }

    /// The group's progress by partition of the stream.
    pub(crate) fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// The oldest offset of a partition that the group needs; none where it is deleted.
    pub(crate) fn low(&self, partition: usize) -> u64 {
        self.progress.get(partition).map_or(u64::MAX, Progress::low)
    }

    /// Whether it is not deleted.
    pub(crate) fn is_live(&self) -> bool {
        self.low(0) != u64::MAX
    }

    /// A subscription reads for it from now on.
    pub(crate) fn subscribed(&self) {
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
    }

    /// A subscription reads for it no longer.
    pub(crate) fn unsubscribed(&self) {
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a subscription reads for it.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions.load(Ordering::Relaxed) > 0
    }

    /// Whether it needs this message no longer.
    pub(crate) fn has_settled(&self, partition: u32, offset: u64) -> bool {
        let progress = usize::try_from(partition)
            .ok()
            .and_then(|place| self.progress.get(place));
        progress.is_none_or(|progress| progress.lock().window.is_settled(offset))
    }

    /// The consumer of this name, which joins if it is new.
    pub(crate) fn join(&self, name: &ConsumerName, now: Moment) -> Result<Arc<Member>> {
        self.members.lock().join(name, now, || self.holders())
    }

    /// Lets a consumer that was removed, and reads all the same, in again.
    #[cold]
    pub(crate) fn rejoin(&self, member: &Arc<Member>) {
        self.members.lock().rejoin(member);
    }

    pub(crate) fn member(&self, name: &ConsumerName) -> Option<Arc<Member>> {
        self.members.lock().get(name).cloned()
    }

    /// Hands out up to `max` messages, those first that come again.
    #[inline]
    pub(crate) fn read(
        &self,
        stream: &Stream,
        consumer: &Consumer,
        now: Moment,
        max: usize,
    ) -> Result<Deliveries, Gone> {
        consumer.member.see(now);
        if consumer.member.is_out() {
            self.rejoin(&consumer.member);
        }
        let reading = Reading {
            group: self.id,
            who: consumer.member.who,
            now,
            deadline: now.after(consumer.lease),
            sequential: consumer.sequential,
            settles: consumer.settles,
        };
        let mut out = Deliveries::new();
        let mut left = max as u64;
        let mut sooner = false;
        if let Some(replayed) = self.replayed.get() {
            let read = replayed.with_feed(|feed| replayed.progress.read(feed, &reading, left, &mut out))?;
            sooner |= read.sooner;
            left -= out.len() as u64;
        }
        let count = self.progress.len();
        let turn = if count > 1 {
            self.turn.fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        for by in 0..count {
            if left == 0 {
                break;
            }
            let partition = (turn.wrapping_add(by)) % count;
            let Some(progress) = self.progress.get(partition) else {
                continue;
            };
            let before = out.len() as u64;
            let read = stream.with_feed(partition, |feed| progress.read(feed, &reading, left, &mut out))?;
            sooner |= read.sooner;
            left -= out.len() as u64 - before;
            if read.lost > 0 {
                stream.tell_lost(&self.name, read.lost);
            }
        }
        if sooner {
            self.tell_sooner();
        }
        Ok(out)
    }

    /// Settles deliveries as `purpose` says; `usual` is the answer where that took effect.
    #[inline]
    pub(crate) fn settle(
        &self,
        stream: &Stream,
        runs: &[ReceiptRun],
        who: Who,
        purpose: Purpose,
        usual: Settled,
        now: Moment,
    ) -> Settlements {
        let mut answers = Answers::new(usual);
        let mut effects = Effects::default();
        for run in runs {
            match self.progress_of(run) {
                Some(progress) => effects.join(progress.settle(*run, who, purpose, now, &mut answers)),
                None => answers.fill(Settled::NotPending, u64::from(run.len)),
            }
        }
        if effects.advanced > 0
            && let Some(replayed) = self.replayed.get()
        {
            replayed.clean();
        }
        self.follow_up(stream, effects);
        answers.finish()
    }

    /// Marks a delivery as done if it is the oldest of its partition that is not, and nothing about it needs care; else
    /// changes nothing.
    #[inline]
    pub(crate) fn settle_oldest(&self, stream: &Stream, receipt: &Receipt, who: Who) -> bool {
        let own = receipt.major == self.id && self.replayed.get().is_none();
        let progress = self.progress.get(receipt.partition as usize);
        match progress.filter(|_| own) {
            Some(progress) if progress.settle_oldest(receipt, who) => {
                stream.freed(1);
                true
            }
            _ => false,
        }
    }

    /// Removes a member; what it held goes to the others. Answers how many messages that were.
    pub(crate) fn remove_consumer(&self, name: &ConsumerName) -> u64 {
        let Some(member) = self.members.lock().remove(name) else {
            return 0;
        };
        let released = self
            .all_progress()
            .map(|progress| progress.lock().window.release(member.who))
            .sum();
        self.tell_readable(released);
        released
    }

    /// Moves the group: `resolve` tells where to, by partition. Replayed dead letters stay, and come again.
    pub(crate) fn seek(
        &self,
        mut resolve: impl FnMut(usize, &mut dyn FnMut(u64)) -> Result<()>,
    ) -> Result<()> {
        for (partition, progress) in self.progress.iter().enumerate() {
            let mut inner = progress.lock();
            resolve(partition, &mut |offset| {
                inner.restart(offset);
                progress.publish_low(&inner);
            })?;
        }
        if let Some(replayed) = self.replayed.get() {
            replayed.rewind();
        }
        self.gate.wake_all();
        Ok(())
    }

    /// Deletes the group, unless deliveries are pending and `force` is not set.
    pub(crate) fn end(&self, force: bool) -> Result<()> {
        let mut all: Vec<_> = self
            .progress
            .iter()
            .map(|progress| (progress, progress.lock()))
            .collect();
        let replaying = self
            .replayed
            .get()
            .map_or(0, |replayed| replayed.progress.lock().window.pending());
        let pending: u64 = all.iter().map(|(_, inner)| inner.window.pending()).sum::<u64>() + replaying;
        if pending > 0 && !force {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!(
                    "group `{}` has {pending} deliveries that are not settled; settle them, or delete it by force",
                    self.name
                ),
            ));
        }
        for (progress, inner) in &mut all {
            inner.end();
            progress.publish_low(inner);
        }
        drop(all);
        if let Some(replayed) = self.replayed.get() {
            replayed.clear();
        }
        self.members.lock().clear();
        self.dead.lock().clear();
        self.gate.wake_all();
        Ok(())
    }

    /// Readers are to look again: there are `count` more messages for them.
    pub(crate) fn tell_readable(&self, count: u64) {
        fence(Ordering::SeqCst);
        self.gate.wake(count);
    }

    #[cold]
    fn tell_sooner(&self) {
        fence(Ordering::SeqCst);
        self.gate.wake_all();
    }

    #[inline]
    pub(super) fn follow_up(&self, stream: &Stream, effects: Effects) {
        if effects.advanced > 0 {
            stream.freed(effects.advanced);
        }
        if effects.readable > 0 {
            self.tell_readable(effects.readable);
        }
        if effects.sooner {
            self.tell_sooner();
        }
    }

    #[inline]
    pub(super) fn progress_of(&self, run: &ReceiptRun) -> Option<&Progress> {
        if run.first.major != self.id {
            return None;
        }
        if run.first.partition == replayed::PARTITION {
            let replayed = self.replayed.get()?;
            return Some(&replayed.progress);
        }
        self.progress.get(run.first.partition as usize)
    }

    pub(super) fn all_progress(&self) -> impl Iterator<Item = &Progress> {
        self.progress
            .iter()
            .chain(self.replayed.get().map(|replayed| &replayed.progress))
    }

    fn holders(&self) -> Vec<Who> {
        self.all_progress()
            .flat_map(|progress| progress.lock().window.holders().collect::<Vec<_>>())
            .collect()
    }
}
