//! From the oldest unsettled message to the next new one.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;

use super::lanes::Lanes;
use super::redelivery::Redelivery;
use super::ring::Ring;
use super::slot::{Slot, Tag, Who};
use crate::clock::Moment;
use crate::number::index;

/// What one group knows of one partition: from `low`, the oldest message that is not settled, to `next`, the first one
/// that was never handed out.
///
/// Plain arithmetic over offsets: no lock, no clock, no messages.
#[derive(Debug)]
pub(crate) struct Window {
    pub(super) low: u64,
    pub(super) next: u64,
    /// The longest that the window may get.
    limit: u64,
    pub(super) ring: Ring,
    /// No lease ends before this moment; so that a read looks at one number, not at all leases.
    expiry: Moment,
    pub(super) redelivery: Redelivery,
    /// Only once the group was read in sequence.
    pub(super) lanes: Option<Box<Lanes>>,
    /// Handed out and not settled.
    pub(super) pending: u64,
    /// Passed over because of their keys, and never handed out.
    parked: u64,
    /// When offsets were first handed out, roughly: enough to tell how long the oldest has been out.
    marks: VecDeque<(u64, Moment)>,
}

/// What a window lost because its messages are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The offsets, in order.
    pub(crate) offsets: Vec<u64>,
}

/// A look at all leases is followed by none for this long per lease, however many end in between.
const NANOS_PER_LEASE: u64 = 50;
/// Marks closer than this are one.
const MARK: u64 = 1_000_000;

impl Window {
    pub(crate) fn new(start: u64, limit: usize) -> Self {
        Self {
            low: start,
            next: start,
            limit: limit as u64,
            ring: Ring::new(),
            expiry: Moment::NEVER,
            redelivery: Redelivery::default(),
            lanes: None,
            pending: 0,
            parked: 0,
            marks: VecDeque::new(),
        }
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

    /// Whether this message is settled.
    pub(crate) fn has_settled(&self, offset: u64) -> bool {
        offset < self.low
            || (offset < self.next
                && self
                    .ring
                    .get(offset)
                    .is_none_or(|slot| slot.tag.who() == Who::SETTLED))
    }

    /// How many more messages fit.
    #[inline]
    pub(crate) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.next - self.low)
    }

    /// Handed out and not settled.
    pub(crate) fn pending(&self) -> u64 {
        self.pending
    }

    /// Passed over and never handed out.
    pub(crate) fn parked(&self) -> u64 {
        self.parked
    }

    /// When the oldest unsettled message was first handed out.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        self.marks.front().map(|(_, at)| *at).filter(|_| self.pending > 0)
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
        let pause = (self.next - self.low).saturating_mul(NANOS_PER_LEASE);
        self.expiry = earliest.max(Moment(now.0.saturating_add(pause)));
    }

    /// Hands out the next `count` new messages to `who`; they are there, and there is room for them.
    #[inline]
    pub(crate) fn hand_out(&mut self, count: u64, who: Who, now: Moment, deadline: Moment) -> Tag {
        let tag = Tag::new(1, 0, who);
        self.push(count, Slot { deadline, tag });
        self.pending += count;
        self.expiry = self.expiry.min(deadline);
        let first = self.next - count;
        if self
            .marks
            .back()
            .is_none_or(|(_, at)| now.0.saturating_sub(at.0) >= MARK)
        {
            self.marks.push_back((first, now));
        }
        tag
    }

    /// Hands out the next `count` new messages for good: nobody is going to settle them.
    pub(crate) fn hand_out_settled(&mut self, count: u64) -> Tag {
        let tag = Tag::new(1, 0, Who::SETTLED);
        self.push(
            count,
            Slot {
                deadline: Moment(0),
                tag,
            },
        );
        self.advance();
        tag
    }

    /// Passes over the next new message, whose key is not free.
    pub(crate) fn park(&mut self) {
        let tag = Tag::new(0, 0, Who::PARKED);
        self.push(
            1,
            Slot {
                deadline: Moment::NEVER,
                tag,
            },
        );
        self.parked += 1;
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

    /// The first message from `from` on that is to come again; in sequence, the first of them whose key is free.
    pub(crate) fn first_ready(&self, from: u64, sequential: bool) -> Option<u64> {
        let lanes = self.lanes.as_ref().filter(|_| sequential);
        let mut from = from;
        loop {
            let offset = self.redelivery.first_from(from)?;
            match lanes {
                Some(lanes) if !lanes.is_first(offset) => from = offset + 1,
                _ => return Some(offset),
            }
        }
    }

    /// Hands out again what [`first_ready`](Self::first_ready) found.
    pub(crate) fn hand_out_again(&mut self, offset: u64, who: Who, deadline: Moment) -> Option<Tag> {
        self.redelivery.take(offset);
        let slot = self.ring.get_mut(offset)?;
        if slot.tag.who() == Who::PARKED {
            self.parked -= 1;
            self.pending += 1;
        }
        slot.tag = slot.tag.next(who);
        slot.deadline = deadline;
        let tag = slot.tag;
        self.expiry = self.expiry.min(deadline);
        if !who.holds() {
            self.settled(offset);
            self.advance();
        }
        Some(tag)
    }

    /// Starts to mind keys; the caller then lets every unsettled message [enter](Self::enter_lane), in order.
    pub(crate) fn mind_keys(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.lanes = Some(Box::default());
        let unsettled: Vec<_> = (self.low..self.next)
            .filter(|offset| {
                self.ring
                    .get(*offset)
                    .is_some_and(|slot| slot.tag.who() != Who::SETTLED)
            })
            .collect();
        unsettled.into_iter()
    }

    /// Puts a message into its key's lane; answers whether the key is free for it.
    pub(crate) fn enter_lane(&mut self, offset: u64, key: Option<&Bytes>) -> bool {
        match (&mut self.lanes, key) {
            (Some(lanes), Some(key)) => lanes.enter(offset, key),
            _ => true,
        }
    }

    /// When the message was refused for the first time.
    pub(crate) fn first_failed(&self, offset: u64) -> Option<SystemTime> {
        self.redelivery.first_failed(offset)
    }

    /// Takes away from `who` what it holds, to be handed out again at once. Answers how many messages that were.
    pub(crate) fn release(&mut self, who: Who) -> u64 {
        let mut released = 0;
        for offset in self.low..self.next {
            if let Some(slot) = self.ring.get_mut(offset).filter(|slot| slot.tag.who() == who) {
                slot.tag = slot.tag.with(Who::EXPIRED);
                self.redelivery.ready(offset);
                released += 1;
            }
        }
        released
    }

    /// How many messages each member holds.
    pub(crate) fn holders(&self) -> impl Iterator<Item = Who> {
        (self.low..self.next)
            .filter_map(|offset| self.ring.get(offset))
            .map(|slot| slot.tag.who())
            .filter(|who| who.holds())
    }

    /// Goes on at `head`: what lay before it is gone.
    pub(crate) fn skip_to(&mut self, head: u64) -> Lost {
        let mut lost = Lost::default();
        for offset in self.low..head.min(self.next) {
            let tag = self.ring.get(offset).map(|slot| slot.tag);
            match tag.map(Tag::who) {
                Some(Who::SETTLED) | None => continue,
                Some(Who::PARKED) => self.parked -= 1,
                Some(_) => self.pending -= 1,
            }
            self.free_key(offset);
            lost.offsets.push(offset);
        }
        lost.offsets.extend(self.next..head);
        if head > self.low {
            self.redelivery.forget_before(head);
            self.low = head;
            self.next = self.next.max(head);
            self.advance();
        }
        lost
    }

    /// Starts anew at `offset`.
    pub(crate) fn restart(&mut self, offset: u64) {
        let laned = self.is_laned();
        *self = Self::new(offset, index(self.limit));
        self.lanes = laned.then(Box::default);
    }

    /// Moves `low` over what is settled.
    #[inline]
    pub(super) fn advance(&mut self) {
        while self.low < self.next
            && self
                .ring
                .get(self.low)
                .is_some_and(|slot| slot.tag.who() == Who::SETTLED)
        {
            self.low += 1;
        }
        if self.low == self.next {
            self.marks.clear();
        }
        while self.marks.get(1).is_some_and(|(offset, _)| *offset <= self.low) {
            self.marks.pop_front();
        }
    }
}
