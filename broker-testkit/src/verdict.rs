//! The sums of a ledger.

use std::fmt;

use serde::Serialize;

/// The sums of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Stored for certain.
    pub published: u64,
    /// May be stored.
    pub unknown: u64,
    /// First deliveries, over all groups.
    pub delivered: u64,
    /// Acked, over all groups.
    pub acked: u64,
    /// Stored and never delivered to a group.
    pub lost: u64,
    /// Delivered again after a nack, an ended lease, a fault or a rebalance.
    pub redelivered: u64,
    /// Delivered again without a reason, or after an ack.
    pub duplicated: u64,
    /// First deliveries that came after a later message of the same publisher and key.
    pub reordered: u64,
    /// Deliveries whose bytes are not those that were published.
    pub corrupted: u64,
    /// Deliveries that nobody of this check published.
    pub foreign: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "published {}, unknown {}, delivered {}, acked {}, lost {}, redelivered {}, duplicated {}, reordered {}, \
             corrupted {}, foreign {}",
            self.published,
            self.unknown,
            self.delivered,
            self.acked,
            self.lost,
            self.redelivered,
            self.duplicated,
            self.reordered,
            self.corrupted,
            self.foreign
        )
    }
}
