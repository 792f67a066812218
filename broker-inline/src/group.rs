//! A group of consumers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use broker_core::base::Deliveries;
use broker_core::{
    ConsumerName, DeadLetter, Error, ErrorKind, Failure, GroupInfo, GroupName, MemberInfo, MessageId,
    ReceiptRun, Result, Selection, Settled, Settlements,
};

use crate::answers::Answers;
use crate::clock::Moment;
use crate::dead_letters::DeadLetterStore;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::members::{Member, Members};
use crate::progress::{Effects, Gone, Progress, Reading};
use crate::replayed::{self, Replayed};
use crate::segment::Segment;
use crate::stream::Stream;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::window::{Purpose, Who};

/// A group of consumers: its progress in each partition, its members, its dead letters.
///
/// It stays the same object when it is deleted and made again, so that whoever holds it goes on with it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) name: GroupName,
    pub(crate) gate: Gate,
    progress: Box<[Progress]>,
    replayed: OnceLock<Box<Replayed>>,
    members: Mutex<Members>,
    dead: Mutex<DeadLetterStore>,
    /// The partition that the next read starts with.
    turn: AtomicUsize,
    limits: Limits,
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
            gate: Gate::new(),
            progress: progress.collect(),
            replayed: OnceLock::new(),
            members: Mutex::new(Members::default()),
            dead: Mutex::new(DeadLetterStore::new(limits.max_dead_letters)),
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

    /// Writes deliveries to the dead letters, then settles them; where there is no room, all of them stay.
    pub(crate) fn bury(
        &self,
        stream: &Stream,
        runs: &[ReceiptRun],
        member: &Member,
        failure: &Failure,
        now: Moment,
    ) -> Result<Settlements> {
        let wanted = runs
            .iter()
            .map(|run| self.count_settleable(run, member.who, now))
            .sum();
        self.dead.lock().reserve(wanted)?;
        let mut left = wanted;
        let mut answers = Answers::new(Settled::Nacked);
        let mut effects = Effects::default();
        let at = SystemTime::now();
        for run in runs {
            let Some(progress) = self.progress_of(run) else {
                answers.fill(Settled::NotPending, u64::from(run.len));
                continue;
            };
            let mut inner = progress.lock();
            let low = inner.window.low();
            let tag = inner.tag_of(&run.first);
            for receipt in run.iter() {
                let checked = tag.and_then(|tag| {
                    inner
                        .window
                        .check(receipt.sequence, tag, member.who, now)
                        .map(|()| tag)
                });
                let tag = match checked {
                    Ok(tag) => tag,
                    Err(settled) => {
                        answers.push(settled);
                        continue;
                    }
                };
                let offset = receipt.sequence;
                let segment = self.find(stream, receipt.partition, offset);
                let message = segment.as_ref().and_then(|segment| segment.at(offset)).cloned();
                // Without a message there is nothing to keep: it was removed by force, and that was reported.
                if let (Some(segment), Some(message)) = (segment, message)
                    && left > 0
                {
                    left -= 1;
                    self.dead.lock().keep(DeadLetter {
                        id: MessageId::Text("".into()),
                        original_id: segment.id_at(receipt.partition, offset),
                        stream: stream.name.clone(),
                        group: self.name.clone(),
                        partition: segment.partition_at(receipt.partition, offset),
                        message,
                        failure: failure.clone(),
                        attempts: tag.attempt(),
                        first_failed: inner.window.first_failed(offset).unwrap_or(at),
                        last_failed: at,
                        consumer: member.name.clone(),
                    });
                }
                effects.readable += u64::from(inner.window.settle(offset, Purpose::Done, now));
                answers.usual(1);
            }
            effects.advanced += inner.window.low() - low;
            progress.publish_low(&inner);
        }
        self.dead.lock().release(left);
        if let Some(replayed) = self.replayed.get() {
            replayed.clean();
        }
        self.follow_up(stream, effects);
        Ok(answers.finish())
    }

    /// The dead letters.
    pub(crate) fn dead<R>(&self, work: impl FnOnce(&mut DeadLetterStore) -> R) -> R {
        work(&mut self.dead.lock())
    }

    /// Hands dead letters out again to this group; answers how many.
    pub(crate) fn replay_dead(&self, selection: &Selection) -> Result<u64> {
        let replayed = self.replayed.get_or_init(|| {
            let Limits {
                max_unsettled,
                max_dead_letters,
                ..
            } = self.limits;
            Box::new(Replayed::new(
                max_unsettled,
                max_dead_letters,
                self.limits.segments(),
            ))
        });
        let mut dead = self.dead.lock();
        let letters = dead.take(selection)?;
        let count = letters.len() as u64;
        if let Err((letters, error)) = replayed.append(letters) {
            dead.put_back(letters);
            return Err(error);
        }
        drop(dead);
        self.tell_readable(count);
        Ok(count)
    }

    /// When something becomes ready by itself, at the earliest.
    pub(crate) fn due(&self) -> Moment {
        self.all_progress()
            .map(|progress| progress.lock().window.due())
            .min()
            .unwrap_or(Moment::NEVER)
    }

    /// Handed out and not settled.
    pub(crate) fn pending(&self) -> u64 {
        self.all_progress()
            .map(|progress| progress.lock().window.pending())
            .sum()
    }

    /// Whether a window is so full that nothing new is handed out.
    pub(crate) fn is_stuck(&self) -> bool {
        self.all_progress()
            .any(|progress| progress.lock().window.room() == 0)
    }

    /// What an operator sees.
    pub(crate) fn info(&self, stream: &Stream, now: Moment) -> GroupInfo {
        let (mut pending, mut lag, mut oldest) = (0, 0, None::<Moment>);
        let mut held: Vec<Who> = Vec::new();
        for (partition, progress) in self.progress.iter().enumerate() {
            let inner = progress.lock();
            pending += inner.window.pending();
            lag += inner.window.parked() + stream.tail(partition).saturating_sub(inner.window.next());
            oldest = oldest.into_iter().chain(inner.window.oldest()).min();
            held.extend(inner.window.holders());
        }
        if let Some(replayed) = self.replayed.get() {
            let inner = replayed.progress.lock();
            pending += inner.window.pending();
            lag += inner.window.parked() + replayed.lag(inner.window.next());
            oldest = oldest.into_iter().chain(inner.window.oldest()).min();
            held.extend(inner.window.holders());
        }
        let members = self
            .members
            .lock()
            .shown(&held)
            .into_iter()
            .map(|member| MemberInfo {
                consumer: member.name.clone(),
                pending: held.iter().filter(|who| **who == member.who).count() as u64,
                idle: now.since(member.last_seen()),
            });
        GroupInfo {
            group: self.name.clone(),
            members: members.collect(),
            pending,
            lag,
            oldest_pending: oldest.map(|oldest| now.since(oldest)),
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
        crate::sync::fence(Ordering::SeqCst);
        self.gate.wake(count);
    }

    #[cold]
    fn tell_sooner(&self) {
        crate::sync::fence(Ordering::SeqCst);
        self.gate.wake_all();
    }

    #[inline]
    fn follow_up(&self, stream: &Stream, effects: Effects) {
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
    fn progress_of(&self, run: &ReceiptRun) -> Option<&Progress> {
        if run.first.major != self.id {
            return None;
        }
        if run.first.partition == replayed::PARTITION {
            let replayed = self.replayed.get()?;
            return Some(&replayed.progress);
        }
        self.progress.get(run.first.partition as usize)
    }

    fn find(&self, stream: &Stream, partition: u32, offset: u64) -> Option<Arc<Segment>> {
        let segment = if partition == replayed::PARTITION {
            self.replayed.get()?.find(offset)
        } else {
            stream.find(partition as usize, offset)
        };
        segment.filter(|segment| segment.first() <= offset)
    }

    fn count_settleable(&self, run: &ReceiptRun, who: Who, now: Moment) -> usize {
        let Some(progress) = self.progress_of(run) else {
            return 0;
        };
        let inner = progress.lock();
        let Ok(tag) = inner.tag_of(&run.first) else {
            return 0;
        };
        run.iter()
            .filter(|receipt| inner.window.check(receipt.sequence, tag, who, now).is_ok())
            .count()
    }

    fn all_progress(&self) -> impl Iterator<Item = &Progress> {
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
