//! Settling what a window handed out.

use std::time::SystemTime;

use broker_core::Settled;

use crate::{Moment, Slot, Tag, Who, Window};

/// Why a delivery is settled.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Done: handled, thrown away, or written to the dead letters.
    Done,
    /// To come again at this moment, after a failure at that time.
    Requeue(Moment, SystemTime),
    /// To come again at once, never handled.
    GiveBack,
    /// To stay where it is, at least until this moment.
    Extend(Moment),
}

impl Purpose {
    /// What settling answers where it is done.
    #[inline]
    pub const fn answer(self) -> Settled {
        match self {
            Self::Done | Self::Extend(_) => Settled::Acked,
            Self::Requeue(..) | Self::GiveBack => Settled::Nacked,
        }
    }
}

impl Window {
    /// Settles all of `count` deliveries from `first` on for `who`, if they are all as `tag` says; else changes nothing.
    #[inline]
    pub fn settle_run(&mut self, first: u64, count: u64, tag: Tag, who: Who, now: Moment) -> bool {
        let end = first.saturating_add(count);
        if first < self.low || end > self.next || tag.who() != who || !who.holds() {
            return false;
        }
        // A message that has failed is at its second attempt or a later one.
        if self.lanes.is_some() || (tag.attempt() > 1 && !self.redelivery.is_clean()) {
            return false;
        }
        let sound = |slot: &Slot| slot.tag == tag && slot.deadline > now;
        let [front, back] = self.ring.pieces(first, count);
        if !front.iter().all(sound) || !back.iter().all(sound) {
            return false;
        }
        self.pending -= count;
        if tag.attempt() > 1 {
            self.repeats -= count;
        }
        if first == self.low {
            // What lies before `low` is settled by that alone.
            self.low = end;
            self.advance();
        } else {
            for piece in self.ring.pieces_mut(first, count) {
                for slot in piece {
                    slot.tag = slot.tag.with(Who::SETTLED);
                }
            }
        }
        true
    }

    /// As [`settle_run`](Self::settle_run) for one delivery, if it is the oldest and still with `who`: a lease that has
    /// ended keeps nobody from settling until somebody looks for such.
    #[inline]
    pub fn settle_oldest(&mut self, offset: u64, tag: Tag, who: Who) -> bool {
        let sound = |slot: Slot| slot.tag == tag;
        let swift = offset == self.low
            && offset < self.next
            && tag.who() == who
            && who.holds()
            && tag.attempt() == 1
            && self.lanes.is_none()
            && self.ring.get(offset).is_some_and(sound);
        if swift {
            self.pending -= 1;
            self.low += 1;
            self.advance();
        }
        swift
    }

    /// Whether `who` may settle the delivery that `tag` names, and if not, the answer.
    pub fn check(&self, offset: u64, tag: Tag, who: Who, now: Moment) -> Result<(), Settled> {
        if tag.attempt() == 0 || offset >= self.next || !tag.who().holds() {
            return Err(Settled::NotPending);
        }
        if offset < self.low {
            return Err(Settled::AlreadySettled);
        }
        let Some(slot) = self.ring.get(offset) else {
            return Err(Settled::NotPending);
        };
        // What a commit says is settled no longer tells at which attempt.
        if tag.delivery() > slot.tag.delivery() && slot.tag.who() != Who::SETTLED {
            return Err(Settled::NotPending);
        }
        match slot.tag.who() {
            Who::SETTLED => Err(Settled::AlreadySettled),
            _ if tag.delivery() < slot.tag.delivery() => Err(Settled::Stale),
            Who::NACKED | Who::RETURNED => Err(Settled::AlreadySettled),
            Who::EXPIRED => Err(Settled::Stale),
            Who::PARKED | Who::INHERITED => Err(Settled::NotPending),
            holder if holder != tag.who() => Err(Settled::NotPending),
            _ if slot.deadline <= now => Err(Settled::Stale),
            holder if holder != who => Err(Settled::NotOwner),
            _ => Ok(()),
        }
    }

    /// Does what `purpose` says with a delivery that was [checked](Self::check). Answers whether that made a message
    /// ready, this one or another.
    pub fn settle(&mut self, offset: u64, purpose: Purpose, now: Moment) -> bool {
        let Some(slot) = self.ring.get_mut(offset) else {
            return false;
        };
        match purpose {
            Purpose::Done => {
                let freed = self.settled(offset);
                self.advance();
                freed
            }
            Purpose::Requeue(due, failed) => {
                slot.tag = slot.tag.with(Who::NACKED);
                self.redelivery.failed(offset, failed);
                if due <= now {
                    self.redelivery.ready(offset);
                } else {
                    self.redelivery.rest(offset, due);
                }
                due <= now
            }
            Purpose::GiveBack => {
                slot.tag = slot.tag.with(Who::RETURNED);
                self.redelivery.ready(offset);
                true
            }
            Purpose::Extend(deadline) => {
                slot.deadline = slot.deadline.max(deadline);
                false
            }
        }
    }

    /// The [inherited](Self::inherit) message is gone: nobody is going to settle it.
    pub fn lose(&mut self, offset: u64) {
        self.settled(offset);
        self.advance();
    }

    /// Takes over from a window of the same messages when each failed for the first time, which no commit tells.
    pub fn failed_before(&mut self, other: &Self) {
        self.redelivery.failed_before(&other.redelivery);
    }

    /// When the message failed for the first time.
    pub fn first_failed(&self, offset: u64) -> Option<SystemTime> {
        self.redelivery.first_failed(offset)
    }

    /// Marks the message as settled; answers whether that freed its key for another.
    pub(super) fn settled(&mut self, offset: u64) -> bool {
        if let Some(slot) = self.ring.get_mut(offset) {
            self.repeats -= u64::from(slot.tag.attempt() > 1);
            slot.tag = slot.tag.with(Who::SETTLED);
        }
        self.pending -= 1;
        self.redelivery.settled(offset);
        self.free_key(offset)
    }

    /// Lets the next message of the key go, if it was passed over; answers whether there is one.
    pub(super) fn free_key(&mut self, offset: u64) -> bool {
        let Some(freed) = self.lanes.as_mut().and_then(|lanes| lanes.leave(offset)) else {
            return false;
        };
        let parked = self
            .ring
            .get(freed)
            .is_some_and(|slot| slot.tag.who() == Who::PARKED);
        if parked {
            self.redelivery.ready(freed);
        }
        parked
    }
}
