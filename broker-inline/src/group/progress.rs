//! A group's progress in one partition.

use broker_core::base::Deliveries;
use broker_core::{Receipt, ReceiptRun, Settled};
use broker_window::{Moment, Purpose, Tag, Who, Window};

use crate::answers::Answers;
use crate::log::{Cursor, Feed};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// A group's progress in one partition, with a lock of its own.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The oldest offset that the group needs, for those who make room.
    low: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) window: Window,
    pub(super) cursor: Cursor,
    /// Rises when the group is moved or removed; older receipts are stale.
    pub(super) generation: u32,
    /// The group was deleted.
    gone: bool,
}

/// Who reads, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The group's number, which its receipts carry.
    pub(crate) group: u64,
    pub(crate) who: Who,
    pub(crate) now: Moment,
    pub(crate) deadline: Moment,
    /// A key's next message waits for the one before.
    pub(crate) sequential: bool,
    /// Deliveries are to be settled; else handing out is all.
    pub(crate) settles: bool,
}

/// What a read did beside handing out.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Something becomes ready by itself sooner than those who wait know.
    pub(crate) sooner: bool,
    /// Messages were gone that the group needed.
    pub(crate) lost: u64,
}

/// The group was deleted.
#[derive(Debug)]
pub(crate) struct Gone;

/// What settling did beside answering.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effects {
    /// By how much the oldest needed offset rose.
    pub(crate) advanced: u64,
    /// How many messages became ready, or can be handed out now that the window has room.
    pub(crate) readable: u64,
    /// Something becomes ready by itself sooner than those who wait know.
    pub(crate) sooner: bool,
}

impl Effects {
    pub(crate) fn join(&mut self, other: Self) {
        self.advanced += other.advanced;
        self.readable += other.readable;
        self.sooner |= other.sooner;
    }
}

impl Progress {
    pub(crate) fn new(start: u64, limit: usize) -> Self {
        Self {
            low: AtomicU64::new(start),
            inner: Mutex::new(Inner {
                window: Window::new(start, limit as u64),
                cursor: Cursor::default(),
                generation: 0,
                gone: false,
            }),
        }
    }

    /// The oldest offset that the group needs.
    #[inline]
    pub(crate) fn low(&self) -> u64 {
        self.low.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Tells the lowest needed offset to those who make room.
    #[inline]
    pub(crate) fn publish_low(&self, inner: &Inner) {
        self.low.store(inner.window.low(), Ordering::Release);
    }

    /// Hands out up to `want` messages.
    #[inline]
    pub(crate) fn read(
        &self,
        feed: &Feed<'_>,
        reading: &Reading,
        want: u64,
        out: &mut Deliveries,
    ) -> Result<Read, Gone> {
        let mut inner = self.inner.lock();
        if inner.gone {
            return Err(Gone);
        }
        let due = inner.window.due();
        inner.window.tick(reading.now);
        let mut read = Read::default();
        let sequential = reading.sequential && reading.settles;
        if inner.window.has_ready() || inner.window.is_laned() || sequential {
            inner.read_with_care(feed, reading, want, out, &mut read);
        } else {
            inner.read_new(feed, reading, want, out, &mut read);
        }
        if !reading.settles || read.lost > 0 {
            self.publish_low(&inner);
        }
        read.sooner = inner.window.due() < due;
        Ok(read)
    }

    /// Settles the deliveries of one run, or says why not.
    #[inline]
    pub(crate) fn settle(
        &self,
        run: ReceiptRun,
        who: Who,
        purpose: Purpose,
        now: Moment,
        answers: &mut Answers,
    ) -> Effects {
        let mut inner = self.inner.lock();
        let low = inner.window.low();
        let full = inner.window.room() == 0;
        let due = inner.window.due();
        let mut effects = Effects::default();
        let tag = inner.tag_of(&run.first);
        let swift = matches!((purpose, &tag), (Purpose::Done, Ok(tag))
            if inner.window.settle_run(run.first.sequence, u64::from(run.len), *tag, who, now));
        if swift {
            answers.usual(u64::from(run.len));
        } else {
            for receipt in run.iter() {
                let offset = receipt.sequence;
                match tag.and_then(|tag| inner.window.check(offset, tag, who, now)) {
                    Ok(()) => {
                        effects.readable += u64::from(inner.window.settle(offset, purpose, now));
                        answers.usual(1);
                    }
                    Err(settled) => answers.push(settled),
                }
            }
        }
        effects.advanced = inner.window.low() - low;
        if effects.advanced > 0 {
            self.publish_low(&inner);
            effects.readable += if full { inner.window.room() } else { 0 };
        }
        effects.sooner = inner.window.due() < due;
        effects
    }

    /// Settles the oldest delivery as done, if it is the one that `receipt` names and that frees nothing but its place; else
    /// changes nothing. The clock is not asked: who still holds the message may settle it.
    #[inline]
    pub(crate) fn settle_oldest(&self, receipt: &Receipt, who: Who) -> bool {
        let mut inner = self.inner.lock();
        let settled = inner.window.room() > 0
            && matches!(inner.tag_of(receipt), Ok(tag)
                if inner.window.settle_oldest(receipt.sequence, tag, who));
        if settled {
            self.publish_low(&inner);
        }
        settled
    }

    /// Goes on at `head`, since what lay before is gone; answers the offsets that were not settled.
    pub(crate) fn lose_before(&self, head: u64) -> Vec<u64> {
        let mut inner = self.inner.lock();
        if inner.gone {
            return Vec::new();
        }
        let lost = inner.window.lose_before(head);
        self.publish_low(&inner);
        lost
    }
}

impl Inner {
    /// Whether the group was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// How often the group was moved or removed.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Starts anew at `offset`; receipts handed out before are stale.
    pub(crate) fn restart(&mut self, offset: u64) {
        self.window.restart(offset);
        self.cursor.reset();
        self.generation = self.generation.wrapping_add(1);
        self.gone = false;
    }

    /// The group is deleted.
    pub(crate) fn end(&mut self) {
        self.restart(u64::MAX);
        self.gone = true;
    }

    /// The delivery that a receipt names, if it is of this generation.
    pub(crate) fn tag_of(&self, receipt: &Receipt) -> Result<Tag, Settled> {
        let generation = Tag::epoch(receipt);
        if generation != self.generation {
            return Err(if generation < self.generation {
                Settled::Stale
            } else {
                Settled::NotPending
            });
        }
        Ok(Tag::of(receipt, 0))
    }
}
