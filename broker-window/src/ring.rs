//! Slots by offset.

use crate::Slot;

/// Slots of neighbouring offsets, in a power of two of places that grows with the window.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    slots: Vec<Slot>,
    mask: u64,
}

impl Ring {
    const SMALLEST: usize = 64;

    /// Makes room for the offsets from `low` up to `end`, of which those before `next` are in use.
    #[inline]
    pub(crate) fn reserve(&mut self, low: u64, next: u64, end: u64) {
        if end - low > self.slots.len() as u64 {
            self.grow(low, next, end);
        }
    }

    #[cold]
    fn grow(&mut self, low: u64, next: u64, end: u64) {
        let room = index(end - low).next_power_of_two().max(Self::SMALLEST);
        let mut larger = Self {
            slots: vec![Slot::SETTLED; room],
            mask: room as u64 - 1,
        };
        for offset in low..next {
            if let (Some(slot), Some(place)) = (self.get(offset), larger.get_mut(offset)) {
                *place = slot;
            }
        }
        *self = larger;
    }

    #[inline]
    pub(crate) fn get(&self, offset: u64) -> Option<Slot> {
        self.slots.get(index(offset & self.mask)).copied()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, offset: u64) -> Option<&mut Slot> {
        self.slots.get_mut(index(offset & self.mask))
    }

    /// The slots of `length` offsets from `first` on, which lie in one piece or in two.
    #[inline]
    pub(crate) fn pieces(&self, first: u64, length: u64) -> [&[Slot]; 2] {
        let start = index(first & self.mask);
        let length = index(length);
        let (front, back) = self.slots.split_at_checked(start).unwrap_or_default();
        match back.split_at_checked(length) {
            Some((piece, _)) => [piece, &[]],
            None => [back, front.get(..length - back.len()).unwrap_or_default()],
        }
    }

    /// As [`pieces`](Self::pieces), to change.
    #[inline]
    pub(crate) fn pieces_mut(&mut self, first: u64, length: u64) -> [&mut [Slot]; 2] {
        let start = index(first & self.mask);
        let length = index(length);
        let (front, back) = self.slots.split_at_mut_checked(start).unwrap_or_default();
        let in_back = length.min(back.len());
        [
            back.get_mut(..in_back).unwrap_or_default(),
            front.get_mut(..length - in_back).unwrap_or_default(),
        ]
    }
}

/// A distance between offsets, as an index.
#[expect(
    clippy::cast_possible_truncation,
    reason = "distances between offsets that are kept are bounded by memory, so that they fit on 32 bits too"
)]
#[inline]
const fn index(distance: u64) -> usize {
    distance as usize
}
