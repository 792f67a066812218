//! What the owner of a group knows, and the messages that the server sent ahead.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use broker_core::base::Deliveries;
use broker_core::{GroupName, Receipt, Settled};
use broker_window::{HandedOut, Kept, Moment, Purpose, Reading, Tag, Who, Window};
use lapin::message::Delivery;

use super::attached::Attached;
use super::progress::Progress;
use crate::config::QueueType;
use crate::entry::{Entries, Entry};
use crate::letter::ONE_GROUP;
use crate::properties::text_of;

/// What the owner of a group knows.
pub(super) struct Session {
    /// Tells this window from any other in this process; the upper half of its receipts' fences.
    pub(super) epoch: u32,
    pub(super) generation: u64,
    pub(super) owner: u64,
    /// The latest token that was written.
    pub(super) sequence: u64,
    /// The token that it began with.
    base: (u64, u64, u64),
    pub(super) window: Window,
    pub(super) kept: Kept<Entries>,
    reader: Attached,
    /// The first offset that has not come.
    pub(super) fetched: u64,
    /// The first offset that no earlier owner had looked at.
    inherited: u64,
    /// When inherited messages failed for the first time.
    failed: HashMap<u64, u64>,
    /// What more credit is given for once the window has passed the offset, with its delivery tag.
    credits: VecDeque<(u64, u64)>,
    /// Whether messages may lack before the first one without being missed.
    is_fresh: bool,
    /// Whether it is known that nothing lay in the log when reading began, or something came.
    pub(super) is_heard: bool,
    /// How many offsets from where on did not come, and may have been messages.
    pub(super) missed: Vec<(u64, u64)>,
    /// Counts the changes of what a token tells.
    pub(super) version: u64,
    /// As of which change it is written.
    pub(super) saved: u64,
    /// Whether it is about to be given up: nothing is handed out any more.
    pub(super) is_ending: bool,
}

impl Session {
    pub(super) fn new(epoch: u32, progress: &Progress, reader: Attached) -> Self {
        Self {
            epoch,
            generation: progress.generation + 1,
            owner: fastrand::u64(1..),
            sequence: 0,
            base: progress.name(),
            window: progress.to_window(),
            kept: Kept::default(),
            reader,
            fetched: progress.low,
            inherited: progress.next(),
            failed: progress.failed.iter().copied().collect(),
            credits: VecDeque::new(),
            is_fresh: progress.is_fresh,
            is_heard: false,
            missed: Vec::new(),
            // The new generation is worth a token of its own.
            version: 1,
            saved: 0,
            is_ending: false,
        }
    }

    /// Goes on elsewhere in the log; receipts from before are stale.
    pub(super) fn move_to(&mut self, epoch: u32, progress: &Progress, reader: Attached) {
        let (owner, sequence, generation) = (self.owner, self.sequence, self.generation);
        let (version, saved, base) = (self.version, self.saved, self.base);
        *self = Self::new(epoch, progress, reader);
        (self.owner, self.sequence, self.generation) = (owner, sequence, generation);
        (self.version, self.saved, self.base) = (version + 1, saved, base);
    }

    /// Goes on by another reader, from the first offset that has not come.
    pub(super) fn read_by(&mut self, reader: Attached) {
        self.reader = reader;
        self.credits.clear();
    }

    pub(super) fn channel(&self) -> lapin::Channel {
        self.reader.channel.clone()
    }

    /// Takes in what the server has sent by now. Answers whether there was any, and whether the sending goes on.
    pub(super) fn arrive(&mut self, waker: &Waker, group: &GroupName) -> (bool, bool) {
        let mut came = Vec::new();
        let goes_on = self
            .reader
            .drain(waker, |offset, delivery| came.push((offset, delivery)));
        let (any, mut run) = (!came.is_empty(), Vec::new());
        for (offset, delivery) in came {
            let tag = delivery.delivery_tag;
            self.is_heard = true;
            if offset >= self.fetched {
                self.miss(offset, &mut run);
                self.is_fresh = false;
                self.fetched = offset + 1;
                if is_for(&delivery, group) {
                    let mut entry = Entry::new(delivery, QueueType::Stream);
                    entry.tag = offset;
                    run.push(entry);
                } else {
                    self.keep(std::mem::take(&mut run));
                    self.pass(offset);
                }
            }
            self.credits.push_back((offset + 1, tag));
        }
        self.keep(run);
        self.give_credit();
        (any, goes_on)
    }

    /// What lies before `offset` did not come: retention took it, or the server has it for itself, as it has an offset at the
    /// head of each segment.
    fn miss(&mut self, offset: u64, run: &mut Vec<Entry>) {
        if offset == self.fetched {
            return;
        }
        self.keep(std::mem::take(run));
        let mut missed = 0;
        for missing in self.fetched..offset.min(self.inherited) {
            if self.is_inherited(missing) {
                self.window.lose(missing);
                missed += 1;
            }
        }
        missed += offset.saturating_sub(self.fetched.max(self.inherited));
        if !self.is_fresh && missed > 0 {
            self.missed.push((self.fetched, missed));
        }
        if self.kept.is_empty() {
            self.window.pass_to(offset);
        }
        self.version += 1;
    }

    fn is_inherited(&self, offset: u64) -> bool {
        let slot = self.window.get(offset);
        slot.is_some_and(|slot| slot.tag.who() == Who::INHERITED)
    }

    /// A message came that is for another group.
    fn pass(&mut self, offset: u64) {
        if self.is_inherited(offset) {
            self.window.lose(offset);
        }
        if self.kept.is_empty() {
            self.window.pass_to(offset + 1);
        }
        self.version += 1;
    }

    fn keep(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.tag) else {
            return;
        };
        let (len, mut left) = (entries.len() as u64, 0);
        let laned = self.window.is_laned();
        for (offset, entry) in (first..).zip(&entries) {
            if offset >= self.inherited {
                left += 1;
                continue;
            }
            if !self.is_inherited(offset) {
                continue;
            }
            left += 1;
            if laned {
                self.window.enter_lane(offset, entry.message.message_key());
            }
            match self.failed.remove(&offset) {
                Some(failed) => {
                    let failed = std::time::UNIX_EPOCH + std::time::Duration::from_millis(failed);
                    self.window
                        .settle(offset, Purpose::Requeue(Moment(0), failed), Moment(0));
                }
                None => self.window.ready(offset),
            }
        }
        self.kept.keep(first, len, left, Entries::new(entries));
    }

    /// Gives all credit that there is to give, so that the server does not take this reader for a stuck one.
    pub(super) fn give_all_credit(&mut self) {
        self.give_credit();
        self.reader.catch_up();
    }

    fn give_credit(&mut self) {
        let next = self.window.next();
        let passed = self.credits.partition_point(|(end, _)| *end <= next);
        if let Some((_, tag)) = self.credits.drain(..passed).next_back() {
            self.reader.passed(tag);
        }
    }

    /// Hands out up to `max` messages.
    pub(super) fn read(&mut self, max: usize, reading: Reading) -> Deliveries {
        let mut out = Deliveries::new();
        if self.is_ending {
            return out;
        }
        let epoch = self.epoch;
        let give = |handed: HandedOut<Entries>| out.push(handed.into_lot(0, epoch));
        let count = self.kept.read(&mut self.window, max, reading, |_, _| true, give);
        if count > 0 {
            self.version += 1;
            self.give_credit();
        }
        out
    }

    /// Whether it is settled; `count` messages from `first` on are not kept any more.
    pub(super) fn release(&mut self, first: u64, count: u64) {
        self.kept.release(first, count, |_| {});
        if self.kept.is_empty() && self.window.next() < self.fetched {
            // What came last was for others.
            self.window.pass_to(self.fetched);
        }
    }

    /// What a token tells as of now, as the next one of this owner.
    pub(super) fn next_token(&mut self) -> Progress {
        self.sequence += 1;
        self.token()
    }

    /// What a token tells as of now.
    pub(super) fn token(&self) -> Progress {
        let mut progress = Progress::of(&self.window);
        // Of what has not come again yet, the window does not know it.
        let unseen = self.failed.iter();
        progress
            .failed
            .extend(unseen.map(|(offset, failed)| (*offset, *failed)));
        Progress {
            generation: self.generation,
            sequence: self.sequence,
            owner: self.owner,
            is_fresh: self.is_fresh,
            ..progress
        }
    }

    /// Whether a member has something in hand.
    pub(super) fn is_in_hand(&self) -> bool {
        self.window.pending() > 0 && self.window.holders().next().is_some()
    }

    /// Whether the window is as long as it may get.
    pub(super) fn is_full(&self) -> bool {
        self.window.room() == 0
    }

    /// What is left when it is over.
    pub(super) fn into_past(self) -> Past {
        Past {
            epoch: self.epoch,
            token: self.token(),
            base: self.base,
            window: self.window,
        }
    }
}

/// A session that is over.
pub(super) struct Past {
    pub(super) epoch: u32,
    /// What its last token would have told.
    pub(super) token: Progress,
    base: (u64, u64, u64),
    window: Window,
}

impl Past {
    /// Whether nobody else had the group until `token` was found: it is of this session, or the one that it began with.
    pub(super) fn is_latest(&self, token: &Progress) -> bool {
        let is_own = (token.owner, token.generation) == (self.token.owner, self.token.generation);
        is_own || token.name() == self.base
    }

    /// What settling a delivery of it answers: what was in hand when it ended goes to whoever is next.
    pub(super) fn settled(&self, receipt: &Receipt, who: Who, now: Moment) -> Settled {
        let answer = self.window.check(receipt.sequence, Tag::of(receipt, 0), who, now);
        answer.err().unwrap_or(Settled::Stale)
    }
}

/// Whether a message is for this group.
fn is_for(delivery: &Delivery, group: &GroupName) -> bool {
    let headers = delivery.properties.headers().as_ref();
    let alone = headers.and_then(|headers| text_of(headers.inner().get(ONE_GROUP)?));
    alone.is_none_or(|alone| alone == group.as_str())
}
