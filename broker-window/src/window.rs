//! From the oldest unsettled message to the next new one.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::lanes::Lanes;
use crate::redelivery::Redelivery;
use crate::ring::Ring;
use crate::{Moment, Slot, Tag, Who};

/// What one group knows of one partition: from `low`, the oldest message that is not settled, to `next`, the first one
/// that was never looked at.
///
/// Offsets that hold no message, as compaction and transactions leave them, count as settled.
#[derive(Debug)]
pub struct Window {
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
    pub(super) parked: u64,
    /// Unsettled messages beyond their first delivery.
    pub(super) repeats: u64,
    /// When offsets were first handed out, roughly: enough to tell how long the oldest has been out.
    marks: VecDeque<(u64, Moment)>,
}

/// A look at all leases is followed by none for this long per lease, however many end in between.
const NANOS_PER_LEASE: u64 = 50;
/// Marks closer than this are one.
const MARK: u64 = 1_000_000;

impl Window {
    /// A window that begins at `start`, where nothing was handed out yet, and never gets longer than `limit` messages.
    pub fn new(start: u64, limit: u64) -> Self {
        Self {
            low: start,
            next: start,
            limit,
            ring: Ring::default(),
            expiry: Moment::NEVER,
            redelivery: Redelivery::default(),
            lanes: None,
            pending: 0,
            parked: 0,
            repeats: 0,
            marks: VecDeque::new(),
        }
    }

    /// The oldest offset that is not settled.
    #[inline]
    pub fn low(&self) -> u64 {
        self.low
    }

    /// The first offset that was never looked at.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many more messages fit.
    #[inline]
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.next - self.low)
    }

    /// The first offset that does not fit.
    #[inline]
    pub fn end(&self) -> u64 {
        self.low.saturating_add(self.limit)
    }

    /// Handed out and not settled.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Passed over because of their keys, and never handed out.
    pub fn parked(&self) -> u64 {
        self.parked
    }

    /// Unsettled messages beyond their first delivery.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// What is known of the message; `None` for one outside the window.
    pub fn get(&self, offset: u64) -> Option<Slot> {
        let inside = (self.low..self.next).contains(&offset);
        self.ring.get(offset).filter(|_| inside)
    }

    /// Whether the message is settled.
    pub fn is_settled(&self, offset: u64) -> bool {
        offset < self.low
            || self
                .get(offset)
                .is_some_and(|slot| slot.tag.who() == Who::SETTLED)
    }

    /// Everything between [`low`](Self::low) and [`next`](Self::next), settled or not, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let pieces = self.ring.pieces(self.low, self.next - self.low);
        pieces.into_iter().flatten().copied()
    }

    /// The offsets that are not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = (u64, Slot)> {
        (self.low..)
            .zip(self.slots())
            .filter(|(_, slot)| slot.tag.who() != Who::SETTLED)
    }

    /// The member of each message that is in a member's hands.
    pub fn holders(&self) -> impl Iterator<Item = Who> {
        self.slots().map(|slot| slot.tag.who()).filter(|who| who.holds())
    }

    /// When the oldest unsettled message was first handed out.
    pub fn oldest(&self) -> Option<Moment> {
        self.marks.front().map(|(_, at)| *at).filter(|_| self.pending > 0)
    }

    /// When something becomes ready by itself, at the earliest.
    #[inline]
    pub fn due(&self) -> Moment {
        self.expiry.min(self.redelivery.due())
    }

    /// Whether there is something to hand out again.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.redelivery.is_idle()
    }

    /// Whether the group was ever read in sequence.
    #[inline]
    pub fn is_laned(&self) -> bool {
        self.lanes.is_some()
    }

    /// Readies what is due: what has rested, and what its consumer did not settle in time.
    #[inline]
    pub fn tick(&mut self, now: Moment) {
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
    pub fn hand_out(&mut self, count: u64, who: Who, now: Moment, deadline: Moment) -> Tag {
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

    /// The new offsets before `offset` hold no message for this group, or one that nobody is going to settle.
    pub fn pass_to(&mut self, offset: u64) {
        if offset <= self.next {
            return;
        }
        if self.low == self.next {
            // There may be more of them than any window holds; an empty window just moves.
            (self.low, self.next) = (offset, offset);
        } else {
            self.push(offset - self.next, Slot::SETTLED);
        }
    }

    /// The next `count` messages were delivered so often to members of before this window, and not settled; they come
    /// [again](Self::ready).
    pub fn inherit(&mut self, count: u64, delivered: u32) {
        let slot = Slot {
            deadline: Moment::NEVER,
            tag: Tag::new(delivered, 0, Who::INHERITED),
        };
        self.push(count, slot);
        self.pending += count;
        if delivered > 1 {
            self.repeats += count;
        }
    }

    /// An [inherited](Self::inherit) message may be handed out again.
    pub fn ready(&mut self, offset: u64) {
        self.redelivery.ready(offset);
    }

    /// A message that is [inherited](Self::inherit) or was [passed over](Self::park) may be handed out from `due` on.
    pub fn rest(&mut self, offset: u64, due: Moment) {
        self.redelivery.rest(offset, due);
    }

    /// Passes over the next new message, whose key is not free, or that is not due yet.
    pub fn park(&mut self) {
        let slot = Slot {
            deadline: Moment::NEVER,
            tag: Tag::new(0, 0, Who::PARKED),
        };
        self.push(1, slot);
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

    /// The first message from `from` on that is to come again; where `sequential`, the first of them whose key is free.
    pub fn first_ready(&self, from: u64, sequential: bool) -> Option<u64> {
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

    /// Hands out again what [`first_ready`](Self::first_ready) found; for good where `who` is not a member.
    pub fn hand_out_again(&mut self, offset: u64, who: Who, deadline: Moment) -> Option<Tag> {
        self.redelivery.take(offset);
        let slot = self.ring.get_mut(offset)?;
        if slot.tag.who() == Who::PARKED {
            self.parked -= 1;
            self.pending += 1;
        }
        let (before, tag) = (slot.tag, slot.tag.next(who));
        (slot.tag, slot.deadline) = (tag, deadline);
        self.repeats += u64::from(before.attempt() <= 1 && tag.attempt() > 1);
        self.expiry = self.expiry.min(deadline);
        if !who.holds() {
            self.settled(offset);
            self.advance();
        }
        Some(tag)
    }

    /// Keeps order by key from now on; the caller then lets every [unsettled](Self::unsettled) message
    /// [enter](Self::enter_lane) its key's lane, in order.
    pub fn mind_keys(&mut self) {
        self.lanes.get_or_insert_default();
    }

    /// Puts a message into its key's lane; answers whether the key is free for it.
    pub fn enter_lane(&mut self, offset: u64, key: Option<&Bytes>) -> bool {
        match (&mut self.lanes, key) {
            (Some(lanes), Some(key)) => lanes.enter(offset, key),
            _ => true,
        }
    }

    /// Takes away from `who` what it holds, to be handed out again at once. Answers how many messages that were.
    pub fn release(&mut self, who: Who) -> u64 {
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

    /// Goes on at `head`, since what lay before it is gone; answers the offsets that the group did not get to settle.
    pub fn lose_before(&mut self, head: u64) -> Vec<u64> {
        let mut lost = Vec::new();
        for offset in self.low..head.min(self.next) {
            let Some(tag) = self.ring.get(offset).map(|slot| slot.tag) else {
                continue;
            };
            match tag.who() {
                Who::SETTLED => continue,
                Who::PARKED => self.parked -= 1,
                _ => self.pending -= 1,
            }
            self.repeats -= u64::from(tag.attempt() > 1);
            self.free_key(offset);
            lost.push(offset);
        }
        lost.extend(self.next..head);
        if head > self.low {
            self.redelivery.forget_before(head);
            self.low = head;
            self.next = self.next.max(head);
            self.advance();
        }
        lost
    }

    /// Starts anew at `offset`.
    pub fn restart(&mut self, offset: u64) {
        let laned = self.is_laned();
        *self = Self::new(offset, self.limit);
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
