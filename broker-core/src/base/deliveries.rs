//! Messages on their way to a consumer.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use crate::values::{Message, MessageId, Receipt, ReceiptRun, StreamName};

/// Where a batch's messages lie: a segment of a log, or the reply that a client library parsed.
///
/// Deliveries of one batch share their store; a delivery that is kept keeps it.
pub trait MessageStore: Send + Sync + 'static {
    /// The message at `index`. Within a batch's range it is there.
    fn message(&self, index: usize) -> Option<&Message>;

    /// The id of the message at `index`, which was delivered with `receipt`.
    fn id(&self, index: usize, receipt: &Receipt) -> MessageId {
        let _ = index;
        receipt.offset_id()
    }

    /// When the message at `index` was stored, as far as the broker tells.
    fn stored_at(&self, index: usize) -> Option<SystemTime> {
        let _ = index;
        None
    }
}

impl MessageStore for Vec<Message> {
    fn message(&self, index: usize) -> Option<&Message> {
        self.get(index)
    }
}

impl MessageStore for Vec<(MessageId, Message)> {
    fn message(&self, index: usize) -> Option<&Message> {
        self.get(index).map(|(_, message)| message)
    }

    fn id(&self, index: usize, receipt: &Receipt) -> MessageId {
        self.get(index)
            .map_or_else(|| receipt.offset_id(), |(id, _)| id.clone())
    }
}

/// Part of a batch: neighbours in one store, with their receipts.
#[derive(Clone)]
pub struct Lot {
    /// The stream they came from, where that is not the one that was asked for: a pattern's match.
    pub stream: Option<StreamName>,
    store: Arc<dyn MessageStore>,
    start: usize,
    receipts: Receipts,
}

#[derive(Clone)]
enum Receipts {
    Run(ReceiptRun),
    Each(Vec<Receipt>),
}

impl Lot {
    /// `run.len` messages of `store` from `start` on, whose receipts follow on one another.
    #[must_use]
    pub fn run(store: Arc<dyn MessageStore>, start: usize, run: ReceiptRun) -> Self {
        Self {
            stream: None,
            store,
            start,
            receipts: Receipts::Run(run),
        }
    }

    /// The messages of `store` from its beginning, each with its own receipt.
    #[must_use]
    pub fn each(store: Arc<dyn MessageStore>, receipts: Vec<Receipt>) -> Self {
        Self {
            stream: None,
            store,
            start: 0,
            receipts: Receipts::Each(receipts),
        }
    }

    /// How many messages it has.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.receipts {
            Receipts::Run(run) => run.len as usize,
            Receipts::Each(receipts) => receipts.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The store the messages lie in.
    #[must_use]
    #[inline]
    pub fn store(&self) -> &Arc<dyn MessageStore> {
        &self.store
    }

    /// The place in the store of the message at `index` of this lot.
    #[must_use]
    #[inline]
    pub fn place(&self, index: usize) -> usize {
        self.start + index
    }

    /// The message at `index` of this lot.
    #[must_use]
    #[inline]
    pub fn message(&self, index: usize) -> Option<&Message> {
        self.store.message(self.start + index)
    }

    /// The receipt at `index` of this lot.
    #[must_use]
    #[inline]
    pub fn receipt(&self, index: usize) -> Option<Receipt> {
        match &self.receipts {
            Receipts::Run(run) => u32::try_from(index)
                .ok()
                .filter(|by| *by < run.len)
                .map(|by| run.first.advance(by)),
            Receipts::Each(receipts) => receipts.get(index).copied(),
        }
    }

    /// The receipts from `index` on, as runs.
    pub fn runs_from(&self, index: usize) -> impl Iterator<Item = ReceiptRun> {
        self.runs_of(index, self.len())
    }

    /// The receipts of at most `len` messages from `index` on, as runs.
    pub(crate) fn runs_of(&self, index: usize, len: usize) -> impl Iterator<Item = ReceiptRun> {
        let (run, each): (_, &[Receipt]) = match &self.receipts {
            Receipts::Run(run) => {
                let by = u32::try_from(index).unwrap_or(u32::MAX).min(run.len);
                let rest = ReceiptRun {
                    first: run.first.advance(by),
                    len: u32::try_from(len).unwrap_or(u32::MAX).min(run.len - by),
                };
                (Some(rest).filter(|rest| rest.len > 0), &[])
            }
            Receipts::Each(receipts) => {
                let rest = receipts.get(index..).unwrap_or_default();
                (None, rest.get(..len).unwrap_or(rest))
            }
        };
        run.into_iter().chain(Runs(each))
    }

    /// `len` messages of it from `index` on.
    pub(crate) fn part(&self, index: usize, len: usize) -> Self {
        let receipts = match &self.receipts {
            Receipts::Run(run) => {
                let by = u32::try_from(index).unwrap_or(u32::MAX).min(run.len);
                Receipts::Run(ReceiptRun {
                    first: run.first.advance(by),
                    len: u32::try_from(len).unwrap_or(u32::MAX).min(run.len - by),
                })
            }
            Receipts::Each(receipts) => {
                Receipts::Each(receipts.iter().skip(index).take(len).copied().collect())
            }
        };
        Self {
            stream: self.stream.clone(),
            store: Arc::clone(&self.store),
            start: self.start + index,
            receipts,
        }
    }

    /// The highest attempt number in it.
    #[must_use]
    pub fn max_attempt(&self) -> u32 {
        match &self.receipts {
            Receipts::Run(run) => run.first.attempt,
            Receipts::Each(receipts) => receipts.iter().map(|receipt| receipt.attempt).max().unwrap_or(0),
        }
    }
}

/// Receipts as few runs, made as they are asked for.
struct Runs<'a>(&'a [Receipt]);

impl Iterator for Runs<'_> {
    type Item = ReceiptRun;

    fn next(&mut self) -> Option<ReceiptRun> {
        let (first, mut rest) = self.0.split_first()?;
        let mut run = ReceiptRun::from(*first);
        while let Some((next, others)) = rest.split_first()
            && run.extend(*next)
        {
            rest = others;
        }
        self.0 = rest;
        Some(run)
    }
}

impl fmt::Debug for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lot")
            .field("start", &self.start)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A batch of messages for one consumer, in the order of their delivery.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    lots: SmallVec<[Lot; 2]>,
}

impl Deliveries {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One lot.
    #[must_use]
    pub fn one(lot: Lot) -> Self {
        let mut deliveries = Self::new();
        deliveries.push(lot);
        deliveries
    }

    /// Messages with their receipts, one each.
    #[must_use]
    pub fn each(messages: Vec<(MessageId, Message)>, receipts: Vec<Receipt>) -> Self {
        debug_assert_eq!(messages.len(), receipts.len());
        Self::one(Lot::each(Arc::new(messages), receipts))
    }

    /// Appends a lot; an empty one is left out.
    pub fn push(&mut self, lot: Lot) {
        if !lot.is_empty() {
            self.lots.push(lot);
        }
    }

    /// The lots, in order.
    #[must_use]
    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    /// The lots, in order, to keep.
    #[must_use]
    pub fn into_lots(self) -> SmallVec<[Lot; 2]> {
        self.lots
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lots.iter().map(Lot::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_the_receipts_they_were_made_of(
            steps in proptest::collection::vec((0_u64..3, 1_u32..3), 0..20), from in 0_usize..22, len in 0_usize..22,
        ) {
            let mut sequence = 0;
            let receipts: Vec<_> = steps
                .into_iter()
                .map(|(step, attempt)| {
                    sequence += step;
                    Receipt { sequence, attempt, ..Receipt::default() }
                })
                .collect();
            let lot = Lot::each(Arc::new(Vec::<Message>::new()), receipts.clone());
            let expected: Vec<_> = receipts.into_iter().skip(from).take(len).collect();
            let runs: Vec<_> = lot.runs_of(from, len).collect();
            prop_assert_eq!(runs.iter().flat_map(|run| run.iter()).collect::<Vec<_>>(), expected);
            let joins = |pair: &[ReceiptRun]| pair[0].first.advance(pair[0].len) == pair[1].first;
            prop_assert!(!runs.windows(2).any(joins), "as few as can be");
        }
    }
}
