//! Handing out what is kept.

use std::sync::Arc;

use broker_core::base::Lot;
use broker_core::{Message, Receipt, ReceiptRun};

use crate::{Chunk, Kept, Moment, Tag, Who, Window};

/// Who reads, and how.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The member that gets the messages.
    pub who: Who,
    /// The moment of the read.
    pub now: Moment,
    /// When the member's lease ends.
    pub deadline: Moment,
    /// Whether a message waits until those before it of its key are settled.
    pub sequential: bool,
}

/// Messages that were handed out: neighbours, at the same attempt.
#[derive(Debug)]
pub struct HandedOut<C> {
    /// What they lie in.
    pub chunk: Arc<C>,
    /// Where the first of them lies in it.
    pub index: usize,
    /// The offset of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Which delivery of each it is for the window.
    pub tag: Tag,
}

impl<C: Chunk> HandedOut<C> {
    /// The messages with their receipts, as those of this partition in this epoch.
    pub fn into_lot(self, partition: u32, epoch: u32) -> Lot {
        let before = self.chunk.before(self.index);
        let first = Receipt {
            partition,
            attempt: self.tag.attempt().saturating_add(before),
            sequence: self.first,
            major: 0,
            fence: self.tag.fence(epoch),
        };
        let len = u32::try_from(self.count).unwrap_or(u32::MAX);
        Lot::run(self.chunk, self.index, ReceiptRun { first, len })
    }
}

impl<C: Chunk> Kept<C> {
    /// Hands out up to `max` messages: first what comes again, as far as it `may_repeat`, then what is new. Answers how many.
    pub fn read(
        &self,
        window: &mut Window,
        max: usize,
        reading: Reading,
        may_repeat: impl Fn(&Window, u64) -> bool,
        mut give: impl FnMut(HandedOut<C>),
    ) -> usize {
        window.tick(reading.now);
        if reading.sequential && !window.is_laned() {
            self.lay_lanes(window);
        }
        let mut count = 0;
        if window.has_ready() {
            count += self.read_again(window, max, reading, may_repeat, &mut give);
        }
        while count < max {
            let more = match window.is_laned() {
                true => self.read_one_of_key(window, reading, &mut give),
                false => self.read_run(window, max - count, reading, &mut give),
            };
            if more == 0 {
                break;
            }
            count += more;
        }
        count
    }

    /// Hands out up to `max` messages that come again, as far as they `may_repeat`. Answers how many.
    pub fn read_again(
        &self,
        window: &mut Window,
        max: usize,
        reading: Reading,
        may_repeat: impl Fn(&Window, u64) -> bool,
        mut give: impl FnMut(HandedOut<C>),
    ) -> usize {
        let (mut count, mut from) = (0, 0);
        while count < max {
            let Some(first) = window.first_ready(from, reading.sequential) else {
                break;
            };
            from = first + 1;
            let Some((chunk, index)) = self.find(first).filter(|_| may_repeat(window, first)) else {
                continue;
            };
            if let Some(tag) = window.hand_out_again(first, reading.who, reading.deadline) {
                give(HandedOut {
                    chunk: Arc::clone(chunk),
                    index,
                    first,
                    count: 1,
                    tag,
                });
                count += 1;
            }
        }
        count
    }

    /// Hands out new messages that lie together and were handed out equally often.
    fn read_run(
        &self,
        window: &mut Window,
        max: usize,
        reading: Reading,
        give: &mut impl FnMut(HandedOut<C>),
    ) -> usize {
        let Some(new) = self.next_new(window) else {
            return 0;
        };
        let before = new.chunk.before(new.index);
        let most = usize::try_from(new.until - new.first)
            .unwrap_or(usize::MAX)
            .min(max);
        let differs = |offset: &usize| new.chunk.before(new.index + offset) != before;
        let count = (1..most).find(differs).unwrap_or(most);
        window.pass_to(new.first);
        let tag = window.hand_out(count as u64, reading.who, reading.now, reading.deadline);
        give(HandedOut {
            chunk: new.chunk,
            index: new.index,
            first: new.first,
            count: count as u64,
            tag,
        });
        count
    }

    /// Hands out the next new message whose key is free.
    fn read_one_of_key(
        &self,
        window: &mut Window,
        reading: Reading,
        give: &mut impl FnMut(HandedOut<C>),
    ) -> usize {
        while let Some(new) = self.next_new(window) {
            let key = new.chunk.message(new.index).and_then(Message::message_key);
            let is_free = window.enter_lane(new.first, key);
            window.pass_to(new.first);
            if is_free || !reading.sequential {
                let tag = window.hand_out(1, reading.who, reading.now, reading.deadline);
                give(HandedOut {
                    chunk: new.chunk,
                    index: new.index,
                    first: new.first,
                    count: 1,
                    tag,
                });
                return 1;
            }
            window.park();
        }
        0
    }
}
