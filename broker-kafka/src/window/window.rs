//! From the oldest unsettled message to the next new one.

use bytes::Bytes;

use super::lanes::Lanes;
use super::progress::{Progress, REPEATS};
use super::redelivery::Redelivery;
use super::ring::Ring;
use super::slot::{Moment, Slot, Tag, Who};

/// What one group knows of one partition: from `low`, the oldest offset that is not settled, to `next`, the first one
/// that was never looked at.
///
/// Plain arithmetic over offsets: no lock, no clock, no messages. Offsets that hold no message, as compaction and
/// transactions leave them, count as settled.
#[derive(Debug)]
pub(crate) struct Window {
    pub(super) low: u64,
    pub(super) next: u64,
    /// The longest that the window may get.
    limit: u64,
    /// Before it, messages of an earlier owner have come in again, or are gone.
    arrived: u64,
    /// The first offset that an earlier owner had not looked at.
    inherited: u64,
    pub(super) ring: Ring,
    /// No lease ends before this moment; so that a read looks at one number, not at all leases.
    expiry: Moment,
    pub(super) redelivery: Redelivery,
    /// Only once the group was read in sequence.
    pub(super) lanes: Option<Box<Lanes>>,
    /// In somebody's hands, or waiting to be handed out again.
    pub(super) pending: u64,
    /// Unsettled messages beyond their first delivery.
    pub(super) repeats: usize,
}

/// What is to be done with a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It was settled before: it is not kept.
    Done,
    /// An earlier owner had it in hand: it is ready to be handed out again.
    Again,
    /// It is new.
    New,
}

/// A look at all leases is followed by none for this many microseconds for each thousand leases.
const PAUSE: u64 = 50;

impl Window {
    /// A window that begins at `start`, where nothing was handed out yet.
    pub(crate) fn new(start: u64, limit: u64) -> Self {
        Self {
            low: start,
            next: start,
            limit,
            arrived: start,
            inherited: start,
            ring: Ring::default(),
            expiry: Moment::NEVER,
            redelivery: Redelivery::default(),
            lanes: None,
            pending: 0,
            repeats: 0,
        }
    }

    /// The window that a commit at `start` tells of.
    pub(crate) fn inherit(start: u64, progress: &Progress, limit: u64) -> Self {
        let mut window = Self::new(start, limit);
        for run in &progress.runs {
            let slot = match run.delivered {
                None => Slot::SETTLED,
                Some(delivered) => {
                    window.pending += run.len;
                    if delivered > 1 {
                        window.repeats += usize::try_from(run.len).unwrap_or(usize::MAX);
                    }
                    Slot {
                        deadline: Moment::NEVER,
                        tag: Tag::new(delivered, 0, Who::INHERITED),
                    }
                }
            };
            window.push(run.len, slot);
        }
        window.inherited = window.next;
        window.advance();
        window
    }

    /// The oldest offset that is not settled.
    #[inline]
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// The first offset that was never looked at.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The first offset that does not fit.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.low.saturating_add(self.limit)
    }

    /// Unsettled messages that are out, or wait to be handed out again.
    pub(crate) fn pending(&self) -> u64 {
        self.pending
    }

    /// When something becomes ready by itself, at the earliest.
    #[inline]
    pub(crate) fn due(&self) -> Moment {
        self.expiry.min(self.redelivery.due())
    }

    /// Whether there is something to hand out again.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        !self.redelivery.is_idle()
    }

    /// Whether the group was ever read in sequence.
    #[inline]
    pub(crate) fn is_laned(&self) -> bool {
        self.lanes.is_some()
    }

    /// The offsets that are not settled.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (u64, Slot)> {
        (self.low..self.next)
            .filter_map(|offset| self.ring.get(offset).map(|slot| (offset, slot)))
            .filter(|(_, slot)| slot.tag.who() != Who::SETTLED)
    }

    /// Whether the message is settled.
    pub(crate) fn is_settled(&self, offset: u64) -> bool {
        let slot = self.ring.get(offset).filter(|_| offset < self.next);
        offset < self.low || slot.is_some_and(|slot| slot.tag.who() == Who::SETTLED)
    }

    /// Takes what `who` holds away and readies it; answers how many.
    pub(crate) fn expire(&mut self, who: Who) -> u64 {
        let mut taken = 0;
        for offset in self.low..self.next {
            if let Some(slot) = self.ring.get_mut(offset).filter(|slot| slot.tag.who() == who) {
                slot.tag = slot.tag.with(Who::EXPIRED);
                self.redelivery.ready(offset);
                taken += 1;
            }
        }
        taken
    }

    /// How many messages are in members' hands.
    pub(crate) fn in_hand(&self) -> u64 {
        if self.pending == 0 {
            return 0;
        }
        let held = self.unsettled().filter(|(_, slot)| slot.tag.who().holds());
        held.count() as u64
    }

    /// A message came in; those must come in order. Answers how many of an earlier owner's it shows to be gone.
    pub(crate) fn arrive(&mut self, offset: u64) -> (Arrival, u64) {
        if offset >= self.inherited && self.arrived >= self.inherited {
            return (Arrival::New, 0);
        }
        let (mut gone, until) = (0, offset.min(self.inherited));
        for missing in self.arrived.max(self.low)..until {
            let slot = self.ring.get(missing);
            if slot.is_some_and(|slot| slot.tag.who() == Who::INHERITED) {
                gone += 1;
                self.settled(missing);
            }
        }
        self.arrived = self.arrived.max(offset.saturating_add(1));
        let arrival = match self.ring.get(offset) {
            _ if offset >= self.inherited => Arrival::New,
            Some(slot) if offset >= self.low && slot.tag.who() == Who::INHERITED => {
                self.redelivery.ready(offset);
                Arrival::Again
            }
            _ => Arrival::Done,
        };
        self.advance();
        (arrival, gone)
    }

    /// Readies what is due: what has rested, and what its consumer did not settle in time.
    #[inline]
    pub(crate) fn tick(&mut self, now: Moment) {
        if now >= self.due() {
            self.tick_slowly(now);
        }
    }

    #[cold]
    fn tick_slowly(&mut self, now: Moment) {
        self.redelivery.wake(now);
        if now < self.expiry {
            return;
        }
        let mut earliest = Moment::NEVER;
        for offset in self.low..self.next {
            let Some(slot) = self.ring.get_mut(offset) else {
                continue;
            };
            if !slot.tag.who().holds() {
                continue;
            }
            if slot.deadline <= now {
                slot.tag = slot.tag.with(Who::EXPIRED);
                self.redelivery.ready(offset);
            } else {
                earliest = earliest.min(slot.deadline);
            }
        }
        let pause = (self.next - self.low).saturating_mul(PAUSE) / 1000;
        self.expiry = earliest.max(Moment(now.0.saturating_add(pause)));
    }

    /// Hands out `count` new messages from `first` on to `who`; there is room for them.
    #[inline]
    pub(crate) fn hand_out(&mut self, first: u64, count: u64, who: Who, deadline: Moment) -> Tag {
        let tag = Tag::new(1, 0, who);
        self.skip_to(first);
        self.push(count, Slot { deadline, tag });
        self.pending += count;
        self.expiry = self.expiry.min(deadline);
        tag
    }

    /// Passes over the new message at `offset`, whose key is not free.
    pub(crate) fn park(&mut self, offset: u64) {
        let tag = Tag::new(0, 0, Who::PARKED);
        self.skip_to(offset);
        self.push(
            1,
            Slot {
                deadline: Moment::NEVER,
                tag,
            },
        );
        self.pending += 1;
    }

    /// The new message at `offset` is not for this group.
    pub(crate) fn pass(&mut self, offset: u64) {
        self.skip_to(offset.saturating_add(1));
        self.advance();
    }

    /// Offsets before `offset` that were never looked at hold no message.
    fn skip_to(&mut self, offset: u64) {
        if offset <= self.next {
            return;
        }
        if self.low == self.next {
            // A gap may be wider than any window; an empty window just moves.
            (self.low, self.next) = (offset, offset);
        } else {
            self.push(offset - self.next, Slot::SETTLED);
        }
    }

    #[inline]
    fn push(&mut self, count: u64, slot: Slot) {
        let end = self.next + count;
        self.ring.reserve(self.low, self.next, end);
        for piece in self.ring.pieces_mut(self.next, count) {
            piece.fill(slot);
        }
        self.next = end;
    }

    /// The first message from `from` on that may be handed out again: in sequence, only where its key is free.
    pub(crate) fn first_ready(&self, from: u64, sequential: bool) -> Option<u64> {
        let lanes = self.lanes.as_ref().filter(|_| sequential);
        let mut from = from;
        loop {
            let offset = self.redelivery.first_from(from)?;
            let free = lanes.is_none_or(|lanes| lanes.is_first(offset));
            if free && self.may_repeat(offset) {
                return Some(offset);
            }
            from = offset.checked_add(1)?;
        }
    }

    /// Whether one more delivery of the message can still be written into a commit.
    fn may_repeat(&self, offset: u64) -> bool {
        let repeats = self
            .ring
            .get(offset)
            .is_some_and(|slot| slot.tag.attempt() > 1 || slot.tag.next(Who::NOBODY).attempt() <= 1);
        repeats || self.repeats < REPEATS
    }

    /// Whether failing messages wait for each other, because a commit has no room for more of them.
    pub(crate) fn is_crowded(&self) -> bool {
        self.repeats >= REPEATS
    }

    /// Hands out the ready message again.
    pub(crate) fn hand_out_again(&mut self, offset: u64, who: Who, deadline: Moment) -> Option<Tag> {
        let slot = self.ring.get_mut(offset)?;
        let before = slot.tag.attempt();
        slot.tag = slot.tag.next(who);
        slot.deadline = deadline;
        let tag = slot.tag;
        self.repeats += usize::from(before <= 1 && tag.attempt() > 1);
        self.redelivery.take(offset);
        self.expiry = self.expiry.min(deadline);
        Some(tag)
    }

    /// Begins to keep order by key.
    pub(crate) fn lay_lanes(&mut self) {
        self.lanes.get_or_insert_default();
    }

    /// The message has this key; answers whether it is the first of that key.
    pub(crate) fn enter_lane(&mut self, offset: u64, key: &Bytes) -> bool {
        self.lanes.as_mut().is_none_or(|lanes| lanes.enter(offset, key))
    }

    /// Moves `low` over what is settled.
    #[inline]
    pub(super) fn advance(&mut self) {
        let settled = |slot: &Slot| slot.tag.who() == Who::SETTLED;
        while self.low < self.next && self.ring.get(self.low).as_ref().is_some_and(settled) {
            self.low += 1;
        }
    }

    /// What a commit at [`low`](Self::low) has to tell.
    pub(crate) fn progress(&self, generation: u64) -> Progress {
        let mut progress = Progress {
            generation,
            runs: Vec::new(),
        };
        for piece in self.ring.pieces(self.low, self.next - self.low) {
            for slot in piece {
                let settled = slot.tag.who() == Who::SETTLED;
                progress.push(1, (!settled).then(|| slot.tag.delivered()));
            }
        }
        progress
    }
}
