//! A consumer at the server, for as long as its channel lives: what came by it, and what is known of that.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use broker_core::base::{Deliveries, Lot};
use broker_core::{Receipt, ReceiptRun};
use broker_window::{Moment, Tag, Who, Window};
use futures_util::Stream;
use lapin::Channel;

use super::notes::{Note, Notes};
use crate::config::QueueType;
use crate::entry::{Entries, Entry};
use crate::memory::Memory;
use crate::settle::millis;
use crate::told::{at_once, tell};

/// How far the newest message that is looked at may be ahead of the oldest that is not settled.
const SPAN: u64 = 65_536;

/// A consumer at the server.
pub(crate) struct Session {
    pub(super) channel: Channel,
    stream: lapin::Consumer,
    /// Tells this session from any other in this process; the upper half of its receipts' fences.
    pub(super) epoch: u32,
    /// What is known of the deliveries: the server numbers those of a channel from one, without a gap.
    pub(super) window: Window,
    held: VecDeque<Held>,
    /// What came while it was not known yet how often it was handed out.
    intake: Vec<Entry>,
    /// Whether what earlier consumers wrote down is known.
    pub(super) is_informed: bool,
    /// Whether that tells of all that was handed out, so that nobody had what it does not name.
    pub(super) is_whole: bool,
    /// Whoever takes in what comes.
    waker: Waker,
    /// Whether it is about to be given up: nothing is handed out any more.
    pub(super) is_ending: bool,
    /// Messages of which more is known than the server's count tells.
    pub(super) noted: BTreeSet<u64>,
    /// Whether that changed since it was written down.
    pub(super) is_dirty: bool,
}

/// Neighbours that are kept until all of them are settled.
struct Held {
    first: u64,
    len: u64,
    /// How many of them are not settled.
    left: u64,
    entries: Option<Arc<Entries>>,
}

/// Who reads, and how.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(super) who: Who,
    pub(super) now: Moment,
    pub(super) deadline: Moment,
    pub(super) sequential: bool,
}

impl Session {
    pub(super) fn new(channel: Channel, stream: lapin::Consumer, epoch: u32) -> Self {
        Self {
            channel,
            stream,
            epoch,
            window: Window::new(1, SPAN),
            held: VecDeque::new(),
            intake: Vec::new(),
            is_informed: false,
            is_whole: false,
            waker: Waker::noop().clone(),
            is_ending: false,
            noted: BTreeSet::new(),
            is_dirty: false,
        }
    }

    /// Whoever is told from now on that something has come.
    pub(super) fn wakes(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
    }

    /// Has whoever takes in what comes look at things now.
    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Takes what the server has sent by now. Answers whether the sending goes on.
    pub(super) fn drain(&mut self) -> bool {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self.stream).poll_next(&mut context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(delivery))) => {
                    self.intake.push(Entry::new(delivery, QueueType::Quorum));
                }
                // The queue was deleted, or the channel is gone.
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
    }

    /// Whether it is to be read first what earlier consumers wrote down: the server sends what came back before all else.
    pub(super) fn wants_to_know(&self) -> bool {
        !self.is_informed && self.intake.first().is_some_and(|entry| entry.count > 0)
    }

    /// Takes in what has come. Answers whether there was any.
    pub(super) fn arrive(&mut self, notes: &mut Notes, memory: &Memory) -> bool {
        if self.intake.is_empty() || self.wants_to_know() {
            return false;
        }
        self.is_informed = true;
        let (mut run, mut passed) = (Vec::new(), Vec::new());
        for mut entry in std::mem::take(&mut self.intake) {
            if entry.count > 0 {
                if !notes.apply(&mut entry) && self.is_whole && entry.identity().is_some() {
                    entry.attempt = entry.attempt.saturating_sub(1).max(1);
                }
                self.noted.insert(entry.tag);
            } else {
                // All that came back has come.
                self.is_whole = false;
                notes.clear();
            }
            if memory.is_settled(&mut entry) {
                self.noted.remove(&entry.tag);
                passed.push((false, entry.tag));
                self.hold(std::mem::take(&mut run));
            } else {
                run.push(entry);
            }
        }
        self.hold(run);
        if !passed.is_empty() {
            // They are on their way when this returns; should they be lost too, the messages come once more.
            drop(tell(&self.channel, passed));
        }
        true
    }

    fn hold(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.tag) else {
            return;
        };
        let len = entries.len() as u64;
        self.held.push_back(Held {
            first,
            len,
            left: len,
            entries: Some(Entries::new(entries)),
        });
    }

    /// Hands out up to `max` messages.
    pub(super) fn read(&mut self, max: usize, reading: Reading) -> Deliveries {
        let mut out = Deliveries::new();
        if self.is_ending {
            return out;
        }
        self.window.tick(reading.now);
        if reading.sequential && !self.window.is_laned() {
            self.lay_lanes();
        }
        let mut count = 0;
        if self.window.has_ready() {
            count += self.read_again(max, reading, &mut out);
        }
        while count < max {
            let more = match self.window.is_laned() {
                true => self.read_one_of_key(reading, &mut out),
                false => self.read_run(max - count, reading, &mut out),
            };
            if more == 0 {
                break;
            }
            count += more;
        }
        out
    }

    fn read_again(&mut self, max: usize, reading: Reading, out: &mut Deliveries) -> usize {
        let (mut count, mut from) = (0, 0);
        while count < max {
            let Some(tag) = self.window.first_ready(from, reading.sequential) else {
                break;
            };
            from = tag + 1;
            let Some((entries, index)) = self.find(tag) else {
                continue;
            };
            if let Some(delivery) = self.window.hand_out_again(tag, reading.who, reading.deadline) {
                if delivery.attempt() > 1 {
                    self.noted.insert(tag);
                }
                self.give(&entries, index, 1, delivery, out);
                count += 1;
            }
        }
        count
    }

    /// Hands out new messages that lie together and were handed out equally often.
    fn read_run(&mut self, max: usize, reading: Reading, out: &mut Deliveries) -> usize {
        let Some((entries, first, index, until)) = self.next_new() else {
            return 0;
        };
        let before = entries.before(index);
        let most = usize::try_from(until - first).unwrap_or(usize::MAX).min(max);
        let alike = |offset: &usize| entries.before(index + offset) == before;
        let count = (1..most).find(|offset| !alike(offset)).unwrap_or(most);
        self.window.pass_to(first);
        let delivery = self
            .window
            .hand_out(count as u64, reading.who, reading.now, reading.deadline);
        self.give(&entries, index, count, delivery, out);
        count
    }

    /// Hands out the next new message whose key is free.
    fn read_one_of_key(&mut self, reading: Reading, out: &mut Deliveries) -> usize {
        while let Some((entries, tag, index, _)) = self.next_new() {
            let free = self.window.enter_lane(tag, entries.key(index));
            self.window.pass_to(tag);
            if free || !reading.sequential {
                let delivery = self
                    .window
                    .hand_out(1, reading.who, reading.now, reading.deadline);
                self.give(&entries, index, 1, delivery, out);
                return 1;
            }
            self.window.park();
        }
        0
    }

    fn give(
        &mut self,
        entries: &Arc<Entries>,
        index: usize,
        count: usize,
        delivery: Tag,
        out: &mut Deliveries,
    ) {
        let before = entries.before(index);
        let first = Receipt {
            partition: 0,
            attempt: delivery.attempt().saturating_add(before),
            sequence: entries.get(index).map_or(0, |entry| entry.tag),
            major: 0,
            fence: u64::from(self.epoch) << 32 | u64::from(delivery.holder()),
        };
        let end = first.sequence.saturating_add(count as u64);
        self.is_dirty |= self.noted.range(first.sequence..end).next().is_some();
        let len = u32::try_from(count).unwrap_or(u32::MAX);
        out.push(Lot::run(
            Arc::clone(entries) as _,
            index,
            ReceiptRun { first, len },
        ));
    }

    /// The next message that was never looked at, its place, and where its neighbours end.
    fn next_new(&self) -> Option<(Arc<Entries>, u64, usize, u64)> {
        let (next, end) = (self.window.next(), self.window.end());
        let at = self.held.partition_point(|held| held.first + held.len <= next);
        let held = self.held.get(at)?;
        let first = held.first.max(next);
        let until = (held.first + held.len).min(end);
        (first < until).then_some(())?;
        Some((
            Arc::clone(held.entries.as_ref()?),
            first,
            place(first - held.first),
            until,
        ))
    }

    /// Where a message lies, if it is kept.
    pub(super) fn find(&self, tag: u64) -> Option<(Arc<Entries>, usize)> {
        let at = self.held.partition_point(|held| held.first + held.len <= tag);
        let held = self.held.get(at).filter(|held| held.first <= tag)?;
        Some((Arc::clone(held.entries.as_ref()?), place(tag - held.first)))
    }

    /// Keeps order by key from now on.
    fn lay_lanes(&mut self) {
        self.window.mind_keys();
        let unsettled: Vec<_> = self.window.unsettled().map(|(tag, _)| tag).collect();
        for tag in unsettled {
            if let Some((entries, index)) = self.find(tag) {
                self.window.enter_lane(tag, entries.key(index));
            }
        }
    }

    /// Frees what is settled.
    pub(super) fn release(&mut self, tag: u64) {
        self.noted.remove(&tag);
        let at = self.held.partition_point(|held| held.first + held.len <= tag);
        if let Some(held) = self.held.get_mut(at) {
            held.left = held.left.saturating_sub(1);
            if held.left == 0 {
                held.entries = None;
            }
        }
        while self.held.front().is_some_and(|held| held.entries.is_none()) {
            self.held.pop_front();
        }
    }

    /// What is known of the messages that are not settled; with `all`, of those as well that were not handed out.
    pub(super) fn notes(&self, all: bool) -> Notes {
        let mut notes = Notes::default();
        let mut note = |entry: &Entry| {
            let delivered = self.window.get(entry.tag).map_or(0, |slot| slot.tag.delivered());
            let failed = self.window.first_failed(entry.tag).map(millis);
            if let Some(identity) = entry.identity() {
                let note = Note {
                    attempts: entry.attempt.saturating_sub(1).saturating_add(delivered),
                    count: entry.count.saturating_add(1),
                    first_failed: entry.meta.first_failed.or(failed),
                };
                notes.note(identity, note);
            }
        };
        if all {
            for entry in self.held.iter().filter_map(|held| held.entries.as_ref()) {
                let open = entry.iter().filter(|entry| !self.window.is_settled(entry.tag));
                open.for_each(&mut note);
            }
        } else {
            for tag in &self.noted {
                let found = self.find(*tag);
                if let Some(entry) = found.as_ref().and_then(|(entries, index)| entries.get(*index)) {
                    note(entry);
                }
            }
        }
        notes
    }

    /// How many deliveries are not settled.
    pub(super) fn unsettled(&self) -> u64 {
        let unread: u64 = self
            .held
            .iter()
            .map(|held| (held.first + held.len).saturating_sub(held.first.max(self.window.next())))
            .sum();
        self.window.pending() + self.window.parked() + unread + self.intake.len() as u64
    }

    /// Whether a member has something in hand.
    pub(super) fn is_in_hand(&self) -> bool {
        self.window.pending() > 0 && self.window.holders().next().is_some()
    }

    /// Whether the window is as long as it may get.
    pub(super) fn is_full(&self) -> bool {
        self.window.room() == 0
    }
}

impl Drop for Session {
    /// The channel goes before the consumer does: a consumer that is cancelled keeps what it holds, while the server
    /// sends what comes behind that to the next one.
    fn drop(&mut self) {
        let channel = self.channel.clone();
        drop(at_once(async move { channel.close(200, "left".into()).await }));
    }
}

fn place(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}
