//! Looking at a batch's messages before any is taken out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::batch::Batch;
use super::delivery::Delivery;
use crate::base::Lot;
use crate::values::{Receipt, ReceiptRun};

/// Neighbours of one store that are looked at one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Views {
    /// Tells the view that goes over them from others; zero where there are none.
    pub(super) number: u64,
    left: u32,
    /// Where the next of them lies.
    pub(super) place: usize,
    /// What names its delivery.
    pub(super) receipt: Receipt,
}

/// The next number of views.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Looking at messages that stay where they are.
impl Batch {
    /// The next message that was not looked at yet, as a [view](Delivery::view); it stays in the batch, to be settled by
    /// [`ack_viewed_later`](Self::ack_viewed_later) or taken out.
    #[inline]
    pub fn next_view(&mut self) -> Option<Delivery> {
        loop {
            let (lot, index) = self.ahead;
            let held = self.lots.get(lot)?;
            if let Some(receipt) = held.receipt(index) {
                self.ahead.1 += 1;
                self.views = Views::after(held, index);
                let number = self.views.number;
                let (store, stream) = (Arc::clone(held.store()), held.stream.clone());
                return Some(
                    Delivery::new(
                        Arc::clone(&self.consumer),
                        store,
                        held.place(index),
                        receipt,
                        stream,
                    )
                    .over(number),
                );
            }
            self.ahead = (lot + 1, 0);
        }
    }

    /// Turns `view` into the next message that was not looked at yet, as [`next_view`](Self::next_view) answers it, without
    /// counting what both share; answers whether there was one.
    #[inline(always)]
    pub fn next_view_in(&mut self, view: &mut Delivery) -> bool {
        if self.views.left > 0 && view.goes_on(&self.views) {
            self.views.left -= 1;
            self.views.place += 1;
            self.views.receipt.sequence = self.views.receipt.sequence.wrapping_add(1);
            self.ahead.1 += 1;
            return true;
        }
        self.next_lot_in(view)
    }

    #[inline(never)]
    fn next_lot_in(&mut self, view: &mut Delivery) -> bool {
        let (lot, index) = self.ahead;
        if let Some(held) = self.lots.get(lot)
            && let Some(receipt) = held.receipt(index)
        {
            let views = Views::after(held, index);
            if view.moves_on(&self.consumer, held, index, receipt, views.number) {
                self.ahead.1 += 1;
                self.views = views;
                return true;
            }
        }
        self.next_view().map(|next| *view = next).is_some()
    }

    /// Settles the first `count` that are left as done, soon; what was looked at beyond them is looked at again.
    pub fn ack_viewed_later(&mut self, mut count: usize) {
        while let Some(lot) = self.lots.get(self.lot).filter(|_| count > 0) {
            let settled = count.min(lot.len() - self.index);
            if self.consumer.settles() && settled > 0 {
                let runs: SmallVec<[ReceiptRun; 2]> = lot.runs_of(self.index, settled).collect();
                self.consumer.ack_runs_later(&runs);
            }
            count -= settled;
            self.skip_ahead(settled);
        }
        self.look_again();
        self.count_settled();
    }

    /// Settles the first that is left as done, if the broker can do that without waiting; else nothing changes. Until
    /// [`ack_viewed_later`](Self::ack_viewed_later) it still counts as being in hand.
    #[must_use]
    #[inline]
    pub fn try_ack_first(&mut self) -> bool {
        // The one that was looked at last is most often the first: what follows on it is known.
        let follows = self.views.number > 0 && self.ahead == (self.lot, self.index + 1);
        let receipt = if follows {
            Some(self.views.receipt.back())
        } else {
            self.lots.get(self.lot).and_then(|lot| lot.receipt(self.index))
        };
        let Some(settled) = receipt.and_then(|receipt| self.consumer.try_ack_one(&receipt)) else {
            return false;
        };
        self.settled.0 += 1;
        self.settled.1 += usize::from(settled.took_effect());
        if follows && self.views.left > 0 {
            self.index += 1;
            return true;
        }
        self.skip_ahead(1);
        if self.ahead < (self.lot, self.index) {
            self.look_again();
        }
        true
    }

    /// Looks from the first that is left on.
    pub(super) fn look_again(&mut self) {
        self.ahead = (self.lot, self.index);
        self.views = Views::default();
    }

    /// Lets go of what was settled one by one.
    pub(super) fn count_settled(&mut self) {
        let (settled, effective) = std::mem::take(&mut self.settled);
        if settled > 0 {
            self.consumer.shared.counters.acked.add(effective);
            self.consumer.release(settled);
        }
    }
}

impl Views {
    /// What follows on the message at `index` of `lot`.
    fn after(lot: &Lot, index: usize) -> Self {
        let follows = lot.receipt(index).map(|receipt| receipt.advance(1));
        let next = lot.runs_from(index + 1).next();
        match next.filter(|run| lot.stream.is_none() && Some(run.first) == follows) {
            Some(run) => Self {
                number: NUMBERS.fetch_add(1, Ordering::Relaxed),
                left: run.len,
                place: lot.place(index + 1),
                receipt: run.first,
            },
            None => Self::default(),
        }
    }
}
