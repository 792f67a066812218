//! Handing out messages.

use std::sync::Arc;

use broker_core::base::{Deliveries, Lot};
use broker_core::{Message, Receipt, ReceiptRun};
use broker_window::{Tag, Who};

use super::progress::{Inner, Read, Reading};
use crate::log::{Feed, Segment};
use crate::number::run_length;

impl Inner {
    fn receipt(&self, feed: &Feed<'_>, reading: &Reading, offset: u64, tag: Tag) -> Receipt {
        Receipt {
            partition: feed.partition,
            attempt: tag.attempt(),
            sequence: offset,
            major: reading.group,
            fence: tag.fence(self.generation),
        }
    }

    /// Hands out what was never handed out, as runs.
    #[inline]
    pub(super) fn read_new(
        &mut self,
        feed: &Feed<'_>,
        reading: &Reading,
        mut want: u64,
        out: &mut Deliveries,
        read: &mut Read,
    ) {
        loop {
            let next = self.window.next();
            let there = feed.reach(next).saturating_sub(next);
            let count = want.min(there).min(self.window.room());
            if count == 0 {
                return;
            }
            let Some(segment) = self.cursor.seek(next, feed) else {
                return;
            };
            if segment.first() > next {
                read.lost += self.window.lose_before(segment.first()).len() as u64;
                continue;
            }
            let count = count.min(segment.end() - next).min(u64::from(u32::MAX));
            let (store, place) = (segment.clone(), segment.place(next));
            let tag = if reading.settles {
                self.window
                    .hand_out(count, reading.who, reading.now, reading.deadline)
            } else {
                self.hand_out_for_good(count)
            };
            let run = ReceiptRun {
                first: self.receipt(feed, reading, next, tag),
                len: run_length(count),
            };
            out.push(Lot::run(store, place, run));
            want -= count;
        }
    }

    /// Hands out first what comes again, then what is new, and minds keys if the group ever did.
    #[cold]
    pub(super) fn read_with_care(
        &mut self,
        feed: &Feed<'_>,
        reading: &Reading,
        mut want: u64,
        out: &mut Deliveries,
        read: &mut Read,
    ) {
        let sequential = reading.sequential && reading.settles;
        if sequential && !self.window.is_laned() {
            self.mind_keys(feed);
        }
        let mut lots = Lots::new(out);
        let mut from = 0;
        while want > 0 {
            let Some(offset) = self.window.first_ready(from, sequential) else {
                break;
            };
            from = offset + 1;
            match (feed.find)(offset) {
                Some(segment) if segment.first() <= offset => {
                    let who = if reading.settles {
                        reading.who
                    } else {
                        Who::SETTLED
                    };
                    if let Some(tag) = self.window.hand_out_again(offset, who, reading.deadline) {
                        lots.add(&segment, offset, self.receipt(feed, reading, offset, tag));
                        want -= 1;
                    }
                }
                segment => {
                    let head = segment.map_or(self.window.next(), |segment| segment.first());
                    read.lost += self.window.lose_before(head).len() as u64;
                }
            }
        }
        if !self.window.is_laned() {
            lots.finish();
            return self.read_new(feed, reading, want, out, read);
        }
        while want > 0 && self.window.room() > 0 {
            let next = self.window.next();
            if next >= feed.reach(next) {
                break;
            }
            let Some(segment) = self.cursor.seek(next, feed) else {
                break;
            };
            if segment.first() > next {
                read.lost += self.window.lose_before(segment.first()).len() as u64;
                continue;
            }
            let segment = segment.clone();
            let free = !reading.settles
                || self
                    .window
                    .enter_lane(next, segment.at(next).and_then(Message::message_key));
            let tag = if !reading.settles {
                self.hand_out_for_good(1)
            } else if free || !sequential {
                self.window
                    .hand_out(1, reading.who, reading.now, reading.deadline)
            } else {
                self.window.park();
                continue;
            };
            lots.add(&segment, next, self.receipt(feed, reading, next, tag));
            want -= 1;
        }
        lots.finish();
    }

    /// Hands out the next `count` new messages to somebody who is not going to settle them.
    fn hand_out_for_good(&mut self, count: u64) -> Tag {
        self.window.pass_to(self.window.next() + count);
        Tag::new(1, 0, Who::SETTLED)
    }

    /// From now on the window knows which message of a key comes first.
    fn mind_keys(&mut self, feed: &Feed<'_>) {
        self.window.mind_keys();
        let unsettled: Vec<_> = self.window.unsettled().map(|(offset, _)| offset).collect();
        for offset in unsettled {
            let segment = (feed.find)(offset).filter(|segment| segment.first() <= offset);
            let key = segment
                .as_ref()
                .and_then(|segment| segment.at(offset)?.message_key());
            self.window.enter_lane(offset, key);
        }
    }
}

/// Joins neighbours to lots.
struct Lots<'a> {
    out: &'a mut Deliveries,
    lot: Option<(Arc<Segment>, usize, ReceiptRun)>,
}

impl<'a> Lots<'a> {
    fn new(out: &'a mut Deliveries) -> Self {
        Self { out, lot: None }
    }

    fn add(&mut self, segment: &Arc<Segment>, offset: u64, receipt: Receipt) {
        if let Some((of, _, run)) = &mut self.lot
            && Arc::ptr_eq(of, segment)
            && run.extend(receipt)
        {
            return;
        }
        let lot = (segment.clone(), segment.place(offset), ReceiptRun::from(receipt));
        self.push(Some(lot));
    }

    fn push(&mut self, lot: Option<(Arc<Segment>, usize, ReceiptRun)>) {
        if let Some((segment, place, run)) = std::mem::replace(&mut self.lot, lot) {
            self.out.push(Lot::run(segment, place, run));
        }
    }

    fn finish(mut self) {
        self.push(None);
    }
}
