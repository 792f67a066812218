//! How a consumer settles.

use std::time::Duration;

use super::Membership;
use crate::values::{Failure, Receipt, ReceiptRun};

/// Deliveries of one consumer that are to be settled.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// Who settles.
    pub member: &'a Membership,
    /// What, as runs.
    pub runs: &'a [ReceiptRun],
}

impl Settle<'_> {
    /// The receipts one by one, for an adapter that has no use for runs.
    pub fn receipts(&self) -> impl Iterator<Item = Receipt> {
        self.runs.iter().flat_map(|run| run.iter())
    }

    /// How many receipts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.len as usize).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// Deliveries of one consumer that are refused.
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// Who refuses what.
    pub settle: Settle<'a>,
    /// What is to become of the messages.
    pub disposition: Disposition,
    /// Why, to be kept with the message.
    pub failure: &'a Failure,
}

/// What is to become of a refused message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It comes again, not before `delay` has passed, with the attempt number one higher.
    Requeue {
        /// How long it rests.
        delay: Duration,
    },
    /// It was never handled: it comes again at once, to any consumer, and this delivery does not count as an attempt.
    GiveBack,
    /// It goes to the dead letters.
    DeadLetter,
    /// It was delivered too often and not handed out any more: it goes to the dead letters, and this delivery does not
    /// count as an attempt.
    WornOut,
    /// It is thrown away.
    Discard,
}

impl Disposition {
    /// How often a message was handed out that is refused so at its delivery number `attempt`.
    #[must_use]
    pub fn attempts(self, attempt: u32) -> u32 {
        match self {
            Self::GiveBack | Self::WornOut => attempt.saturating_sub(1),
            Self::Requeue { .. } | Self::DeadLetter | Self::Discard => attempt,
        }
    }
}
