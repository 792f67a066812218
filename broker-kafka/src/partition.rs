//! A partition that this process owns: its window, and the messages that belong to it.

use std::sync::Arc;

use broker_core::Message;
use broker_core::base::Deliveries;
use broker_window::{HandedOut, Kept, Moment, Reading, Window};

use crate::chunk::Chunk;
use crate::inheritance::{Arrival, Inheritance};
use crate::places::is_retry;
use crate::progress::{Progress, SPAN, may_repeat};
use crate::sent::Sent;

mod settling;

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
    pub(crate) kept: Kept<Chunk>,
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

impl Partition {
    pub(crate) fn new(number: u32, epoch: u32, start: u64, progress: Option<&Progress>) -> Self {
        let (inheritance, window) = Inheritance::open(start, progress);
        Self {
            number,
            generation: progress.map_or(0, |progress| progress.generation) + 1,
            epoch,
            window,
            inheritance,
            kept: Kept::default(),
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
        self.kept.keep(first, len, left, chunk);
        self.put_to_rest(now);
    }

    /// What a retry topic brings rests until it is due.
    fn put_to_rest(&mut self, now: Moment) {
        if !is_retry(self.number) {
            return;
        }
        while let Some(new) = self.kept.next_new(&self.window) {
            self.window.pass_to(new.first);
            for (index, offset) in (new.index..).zip(new.first..new.until) {
                let retried = new.chunk.retried(index);
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
        if self.kept.is_empty() && self.window.next() <= offset {
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
        let (number, epoch) = (self.number, self.epoch);
        let give = |handed: HandedOut<Chunk>| out.push(handed.into_lot(number, epoch));
        let looked_at = self.window.next();
        let count = if is_retry(number) {
            let reading = Reading {
                // What lies here came behind others of its key when it was moved.
                sequential: false,
                ..reading
            };
            self.window.tick(reading.now);
            self.kept
                .read_again(&mut self.window, max, reading, may_repeat, give)
        } else {
            self.kept.read(&mut self.window, max, reading, may_repeat, give)
        };
        self.dirty |= count > 0 || self.window.next() > looked_at;
        count
    }

    fn enter_lane(&mut self, offset: u64, chunk: &Chunk) {
        let index = place(offset.saturating_sub(chunk.first));
        let key = chunk.messages.get(index).and_then(Message::message_key);
        self.window.enter_lane(offset, key);
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
