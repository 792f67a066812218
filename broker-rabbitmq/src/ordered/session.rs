//! A consumer at the server, for as long as its channel lives: what came by it, and what is known of that.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use broker_core::base::Deliveries;
use broker_window::{HandedOut, Kept, Reading, Window};
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
    pub(super) kept: Kept<Entries>,
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

impl Session {
    pub(super) fn new(channel: Channel, stream: lapin::Consumer, epoch: u32) -> Self {
        Self {
            channel,
            stream,
            epoch,
            window: Window::new(1, SPAN),
            kept: Kept::default(),
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
        self.kept.keep(first, len, len, Entries::new(entries));
    }

    /// Hands out up to `max` messages.
    pub(super) fn read(&mut self, max: usize, reading: Reading) -> Deliveries {
        let mut out = Deliveries::new();
        if self.is_ending {
            return out;
        }
        let (epoch, noted, is_dirty) = (self.epoch, &mut self.noted, &mut self.is_dirty);
        let give = |handed: HandedOut<Entries>| {
            let end = handed.first.saturating_add(handed.count);
            if handed.tag.attempt() > 1 {
                noted.insert(handed.first);
            }
            *is_dirty |= noted.range(handed.first..end).next().is_some();
            out.push(handed.into_lot(0, epoch));
        };
        self.kept.read(&mut self.window, max, reading, |_, _| true, give);
        out
    }

    /// Frees what is settled.
    pub(super) fn release(&mut self, tag: u64) {
        self.noted.remove(&tag);
        self.kept.release(tag, 1, |_| {});
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
            for entries in self.kept.chunks() {
                let open = entries.iter().filter(|entry| !self.window.is_settled(entry.tag));
                open.for_each(&mut note);
            }
        } else {
            for tag in &self.noted {
                let found = self.kept.find(*tag);
                if let Some(entry) = found.and_then(|(entries, index)| entries.get(index)) {
                    note(entry);
                }
            }
        }
        notes
    }

    /// How many deliveries are not settled.
    pub(super) fn unsettled(&self) -> u64 {
        let unread = self.kept.unread(&self.window);
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
