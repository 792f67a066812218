//! Acks that wait for company.

use crate::values::{Receipt, ReceiptRun};

/// Receipts to be acked together; neighbours become one run.
#[derive(Debug, Default)]
pub(super) struct AckBuffer {
    runs: Vec<ReceiptRun>,
    len: usize,
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

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn runs(&self) -> &[ReceiptRun] {
        &self.runs
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }
}
