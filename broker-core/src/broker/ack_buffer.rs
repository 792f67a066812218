//! Acks that wait for company.

use crate::values::{Receipt, ReceiptRun};

/// Receipts to be acked together; neighbours become one run.
#[derive(Debug, Default)]
pub(super) struct AckBuffer {
    runs: Vec<ReceiptRun>,
    len: usize,
    /// Whether some were taken out whose answer is not there yet.
    on_their_way: bool,
}

impl AckBuffer {
    /// Adds a receipt; answers how many there are.
    #[inline]
    pub(super) fn push(&mut self, receipt: Receipt) -> usize {
        if !self.runs.last_mut().is_some_and(|run| run.extend(receipt)) {
            self.runs.push(receipt.into());
        }
        self.len += 1;
        self.len
    }

    /// Adds runs.
    pub(super) fn extend(&mut self, runs: &[ReceiptRun]) {
        self.runs.extend_from_slice(runs);
        self.len += runs.iter().map(|run| run.len as usize).sum::<usize>();
    }

    /// Takes all out to be sent; [`put_back`](Self::put_back) says what was not.
    pub(super) fn take(&mut self) -> Vec<ReceiptRun> {
        self.on_their_way = true;
        self.len = 0;
        std::mem::take(&mut self.runs)
    }

    /// Ends what [`take`](Self::take) began: `runs` have to be sent again.
    pub(super) fn put_back(&mut self, runs: &[ReceiptRun]) {
        self.on_their_way = false;
        self.extend(runs);
    }

    /// Whether every ack given so far has its answer.
    pub(super) fn is_settled(&self) -> bool {
        self.is_empty() && !self.on_their_way
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn runs(&self) -> &[ReceiptRun] {
        &self.runs
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }
}
