//! Answers to a settlement, gathered without a list while all goes well.

use broker_core::{Settled, Settlements};

use crate::number::index;

/// Answers to a settlement, in order.
#[derive(Debug)]
pub(crate) struct Answers {
    usual: Settled,
    count: u64,
    mixed: Option<Settlements>,
}

impl Answers {
    /// No answers yet; most of them will be `usual`.
    #[inline]
    pub(crate) fn new(usual: Settled) -> Self {
        Self {
            usual,
            count: 0,
            mixed: None,
        }
    }

    /// `count` times the usual one.
    #[inline]
    pub(crate) fn usual(&mut self, count: u64) {
        match &mut self.mixed {
            None => self.count += count,
            Some(mixed) => (0..count).for_each(|_| mixed.push(self.usual)),
        }
    }

    /// One answer.
    pub(crate) fn push(&mut self, settled: Settled) {
        let (usual, count) = (self.usual, index(self.count));
        self.mixed
            .get_or_insert_with(|| Settlements::all(usual, count))
            .push(settled);
    }

    /// `count` times the same.
    pub(crate) fn fill(&mut self, settled: Settled, count: u64) {
        (0..count).for_each(|_| self.push(settled));
    }

    #[inline]
    pub(crate) fn finish(self) -> Settlements {
        match self.mixed {
            None => Settlements::all(self.usual, index(self.count)),
            Some(mixed) => mixed,
        }
    }
}
