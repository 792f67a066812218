//! A partition that this process owns: its window, and the messages that belong to it.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_core::base::{Deliveries, Lot};
use broker_core::{Message, Receipt, ReceiptRun};
use broker_window::{Moment, Tag, Who, Window};

use crate::chunk::Chunk;
use crate::inheritance::{Arrival, Inheritance};
use crate::places::is_retry;
use crate::progress::{Progress, SPAN, may_repeat};
use crate::sent::Sent;

mod settling;

pub(crate) use settling::usual;

/// A partition that this process owns.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u32,
    /// Rises with each owner, all over the group.
    pub(crate) generation: u64,
    /// Tells this ownership from any other in this process; the upper half of its receipts' fences.
    pub(crate) epoch: u32,
    pub(crate) window: Window,
    inheritance: Inheritance,
    held: VecDeque<Held>,
    /// The first offset that has not come in.
    pub(crate) fetched: u64,
    /// The bytes of messages that are kept.
    pub(crate) bytes: usize,
    /// Whether it is being given to another member: nothing is handed out any more.
    pub(crate) leaving: bool,
    /// Whether the library was told not to fetch from it.
    pub(crate) paused: bool,
    /// What was committed last: position and text.
    pub(crate) committed: Option<(u64, String)>,
    pub(crate) sent: Sent,
    /// Whether something changed since.
    pub(crate) dirty: bool,
    /// Messages that an earlier owner had and that are gone.
    pub(crate) gone: u64,
    /// Whether the group was moved here, so that what lies before was never settled.
    moved: bool,
}

/// Messages that are kept until all of them are settled.
#[derive(Debug)]
struct Held {
    first: u64,
    len: u64,
    /// How many of them are not settled.
    left: u64,
    chunk: Option<Arc<Chunk>>,
}

/// Who reads, and how.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) who: Who,
    pub(crate) now: Moment,
    pub(crate) deadline: Moment,
    pub(crate) sequential: bool,
}

impl Partition {
    pub(crate) fn new(number: u32, epoch: u32, start: u64, progress: Option<&Progress>) -> Self {
        let (inheritance, window) = Inheritance::open(start, progress);
        Self {
            number,
            generation: progress.map_or(0, |progress| progress.generation) + 1,
            epoch,
            window,
            inheritance,
            held: VecDeque::new(),
            fetched: start,
            bytes: 0,
            leaving: false,
            paused: false,
            committed: None,
            sent: Sent::default(),
            // The new generation is worth a commit of its own.
            dirty: true,
            gone: 0,
            moved: false,
        }
    }

    /// Begins anew at `start`; receipts from before are stale.
    pub(crate) fn move_to(&mut self, start: u64, epoch: u32) {
        let paused = self.paused;
        let generation = self.generation;
        *self = Self::new(self.number, epoch, start, None);
        (self.paused, self.generation, self.moved) = (paused, generation + 1, true);
    }

    /// Messages came in.
    pub(crate) fn arrive(&mut self, chunk: Chunk, now: Moment) {
        let (first, len) = (chunk.first, chunk.len());
        if first < self.fetched || len == 0 {
            // What was read before the position moved.
            return;
        }
        self.fetched = first + len;
        let mut left = 0;
        for offset in first..self.fetched {
            let (arrival, gone) = self.inheritance.arrive(&mut self.window, offset);
            self.gone += gone;
            self.dirty |= gone > 0;
            match arrival {
                Arrival::Done => {}
                Arrival::Again => {
                    left += 1;
                    match chunk.retried(place(offset - first)) {
                        Some(retried) => self.window.rest(offset, retried.due(now)),
                        None => self.window.ready(offset),
                    }
                }
                Arrival::New => {
                    // All that follow are new as well.
                    left += self.fetched - offset;
                    break;
                }
            }
        }
        if left == 0 {
            return;
        }
        self.bytes += chunk.bytes;
        let chunk = Arc::new(chunk);
        if self.window.is_laned() {
            for offset in first..self.window.next().min(self.fetched) {
                // What is settled leaves no lane any more: it would keep its key for ever.
                if !self.window.is_settled(offset) {
                    self.enter_lane(offset, &chunk);
                }
            }
        }
        self.held.push_back(Held {
            first,
            len,
            left,
            chunk: Some(chunk),
        });
        self.put_to_rest(now);
    }

    /// What a retry topic brings rests until it is due.
    fn put_to_rest(&mut self, now: Moment) {
        if !is_retry(self.number) {
            return;
        }
        while let Some((chunk, first, until)) = self.next_new() {
            self.window.pass_to(first);
            for offset in first..until {
                let retried = chunk.retried(place(offset - chunk.first));
                self.window.park();
                self.window
                    .rest(offset, retried.map_or(now, |retried| retried.due(now)));
            }
        }
    }

    /// A message came in that is not for this group.
    pub(crate) fn pass(&mut self, offset: u64) {
        if offset < self.fetched {
            return;
        }
        self.fetched = offset + 1;
        let (_, gone) = self.inheritance.arrive(&mut self.window, offset);
        self.gone += gone;
        if self.held.is_empty() && self.window.next() <= offset {
            self.window.pass_to(offset + 1);
        }
        self.dirty = true;
    }

    /// Whether the library should stop fetching from it for now: its window is full, and much waits behind it.
    pub(crate) fn is_full(&self) -> bool {
        self.fetched >= self.window.end().saturating_add(SPAN / 4)
    }

    /// Hands out up to `max` messages; answers how many.
    pub(crate) fn read(&mut self, max: usize, reading: Reading, out: &mut Deliveries) -> usize {
        if self.leaving {
            return 0;
        }
        self.window.tick(reading.now);
        if is_retry(self.number) {
            let reading = Reading {
                // What lies here came behind others of its key when it was moved.
                sequential: false,
                ..reading
            };
            let count = self.read_again(max, reading, out);
            self.dirty |= count > 0;
            return count;
        }
        if reading.sequential && !self.window.is_laned() {
            self.lay_lanes();
        }
        let mut count = 0;
        if self.window.has_ready() {
            count += self.read_again(max, reading, out);
        }
        while count < max {
            let more = match self.window.is_laned() {
                true => self.read_one_of_key(reading, out),
                false => self.read_run(max - count, reading, out),
            };
            if more == 0 {
                break;
            }
            count += more;
        }
        self.dirty |= count > 0;
        count
    }

    fn read_again(&mut self, max: usize, reading: Reading, out: &mut Deliveries) -> usize {
        let (mut count, mut from) = (0, 0);
        while count < max {
            let Some(offset) = self.window.first_ready(from, reading.sequential) else {
                break;
            };
            from = offset + 1;
            let Some((chunk, index)) = self.find(offset).filter(|_| may_repeat(&self.window, offset)) else {
                continue;
            };
            if let Some(tag) = self.window.hand_out_again(offset, reading.who, reading.deadline) {
                let mut run = self.run(offset, 1, tag);
                run.first.attempt += chunk.retried(index).map_or(0, |retried| retried.attempts);
                out.push(Lot::run(chunk, index, run));
                count += 1;
            }
        }
        count
    }

    /// Hands out new messages that lie together.
    fn read_run(&mut self, max: usize, reading: Reading, out: &mut Deliveries) -> usize {
        let Some((chunk, first, until)) = self.next_new() else {
            return 0;
        };
        let count = (until - first).min(max as u64);
        let tag = self.hand_out(first, count, reading);
        let index = place(first - chunk.first);
        out.push(Lot::run(chunk, index, self.run(first, count, tag)));
        place(count)
    }

    /// Hands out the next new message whose key is free.
    fn read_one_of_key(&mut self, reading: Reading, out: &mut Deliveries) -> usize {
        while let Some((chunk, offset, _)) = self.next_new() {
            let index = place(offset - chunk.first);
            let key = chunk.messages.get(index).and_then(Message::message_key);
            let free = self.window.enter_lane(offset, key);
            if free || !reading.sequential {
                let tag = self.hand_out(offset, 1, reading);
                out.push(Lot::run(chunk, index, self.run(offset, 1, tag)));
                return 1;
            }
            self.window.pass_to(offset);
            self.window.park();
            self.dirty = true;
        }
        0
    }

    /// Hands out `count` new messages from `first` on; what lies before it holds no message.
    fn hand_out(&mut self, first: u64, count: u64, reading: Reading) -> Tag {
        self.window.pass_to(first);
        self.window
            .hand_out(count, reading.who, reading.now, reading.deadline)
    }

    /// The next message that was never handed out, with its chunk and where what follows it there ends.
    fn next_new(&self) -> Option<(Arc<Chunk>, u64, u64)> {
        let (next, end) = (self.window.next(), self.window.end());
        let at = self.held.partition_point(|held| held.first + held.len <= next);
        let held = self.held.get(at)?;
        let first = held.first.max(next);
        let until = (held.first + held.len).min(end);
        (first < until).then_some(())?;
        Some((Arc::clone(held.chunk.as_ref()?), first, until))
    }

    fn run(&self, first: u64, count: u64, tag: Tag) -> ReceiptRun {
        ReceiptRun {
            first: Receipt {
                partition: self.number,
                attempt: tag.attempt(),
                sequence: first,
                major: 0,
                fence: u64::from(self.epoch) << 32 | u64::from(tag.holder()),
            },
            len: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// Keeps order by key from now on.
    fn lay_lanes(&mut self) {
        self.window.mind_keys();
        let unsettled: Vec<_> = self.window.unsettled().map(|(offset, _)| offset).collect();
        for offset in unsettled {
            if let Some((chunk, _)) = self.find(offset) {
                self.enter_lane(offset, &chunk);
            }
        }
    }

    fn enter_lane(&mut self, offset: u64, chunk: &Chunk) {
        let index = place(offset.saturating_sub(chunk.first));
        let key = chunk.messages.get(index).and_then(Message::message_key);
        self.window.enter_lane(offset, key);
    }

    /// Where the message at `offset` lies, if it is kept.
    pub(crate) fn find(&self, offset: u64) -> Option<(Arc<Chunk>, usize)> {
        let at = self.held.partition_point(|held| held.first + held.len <= offset);
        let held = self.held.get(at).filter(|held| held.first <= offset)?;
        let chunk = held.chunk.as_ref()?;
        Some((Arc::clone(chunk), place(offset - held.first)))
    }

    /// Whether a member has something in hand.
    pub(crate) fn is_in_hand(&self) -> bool {
        self.window.pending() > 0 && self.window.holders().next().is_some()
    }

    /// Position and text for a commit.
    pub(crate) fn progress(&self) -> (u64, String) {
        (
            self.window.low(),
            Progress::of(&self.window, self.generation).to_text(),
        )
    }

    /// Messages that came in and were never handed out.
    pub(crate) fn unread(&self) -> u64 {
        self.fetched.saturating_sub(self.window.next())
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
