//! What ack and nack need.

use super::MessageId;

/// Names one delivery, not the message: after a redelivery the old receipt is stale.
///
/// Plain data, made by the adapter and read back only by it. Which numbers mean what is the adapter's affair, but for
/// `attempt`, and for `sequence`, which grows by one from message to message within a [`ReceiptRun`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The partition, stream shard or channel.
    pub partition: u32,
    /// How often the message was delivered to this group, this time included; from 1.
    pub attempt: u32,
    /// The offset, delivery tag or sequence number.
    pub sequence: u64,
    /// The upper half of a two-part position, such as the milliseconds of a Redis entry; else zero.
    pub major: u64,
    /// The assignment, connection or consumer that the delivery belongs to; what is older is fenced off.
    pub fence: u64,
}

impl Receipt {
    /// The id of the message where the position is a partition's offset.
    #[must_use]
    pub fn offset_id(&self) -> MessageId {
        MessageId::Offset {
            partition: self.partition,
            offset: self.sequence,
        }
    }

    /// The receipt of the message `by` places after this one in its run.
    #[must_use]
    pub fn advance(mut self, by: u32) -> Self {
        self.sequence = self.sequence.wrapping_add(u64::from(by));
        self
    }

    /// The receipt of the message before this one in its run.
    #[inline]
    pub(crate) fn back(mut self) -> Self {
        self.sequence = self.sequence.wrapping_sub(1);
        self
    }
}

/// Receipts that follow on one another: `first`, then each with a sequence one higher.
///
/// A whole batch settles by one of these; a single receipt is a run of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptRun {
    /// The first receipt.
    pub first: Receipt,
    /// How many there are; at least one.
    pub len: u32,
}

impl ReceiptRun {
    /// The receipts one by one.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Receipt> {
        (0..self.len).map(move |by| self.first.advance(by))
    }

    /// Appends `receipt` if it follows on the last one; else answers `false`.
    #[must_use]
    #[inline]
    pub fn extend(&mut self, receipt: Receipt) -> bool {
        let follows = self.first.advance(self.len) == receipt && self.len < u32::MAX;
        if follows {
            self.len += 1;
        }
        follows
    }
}

impl From<Receipt> for ReceiptRun {
    fn from(first: Receipt) -> Self {
        Self { first, len: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_the_receipts_it_was_made_of(partition: u32, attempt: u32, start: u64, fence: u64, len in 1_u32..50) {
            let first = Receipt { partition, attempt, sequence: start, major: 7, fence };
            let mut run = ReceiptRun::from(first);
            let mut receipts = vec![first];
            for by in 1..len {
                prop_assert!(run.extend(first.advance(by)));
                receipts.push(first.advance(by));
            }
            prop_assert_eq!(run.iter().collect::<Vec<_>>(), receipts);
        }

        #[test]
        fn another_attempt_never_joins_a_run(attempt in 0_u32..9, other in 0_u32..9) {
            prop_assume!(attempt != other);
            let first = Receipt { attempt, ..Receipt::default() };
            let mut run = ReceiptRun::from(first);
            let stranger = Receipt { attempt: other, ..first.advance(1) };
            prop_assert!(!run.extend(stranger));
        }
    }
}
