//! What a stopped engine leaves behind, in numbers.

use std::fmt;

use serde::Serialize;

use crate::run::TallySnapshot;

/// What a stopped engine leaves behind: the sum over its subscribers, and each of them.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// Messages settled: handled, skipped, to come again, or given up.
    pub settled: u64,
    /// Messages handed back unhandled.
    pub given_back: u64,
    /// Messages whose handler was cut off; they come again.
    pub abandoned: u64,
    /// Messages that could not be published before the end.
    pub unsent: u64,
    /// Whether the drain ended by itself: nothing was cut off.
    pub drained: bool,
    /// Each subscriber.
    pub subscribers: Vec<SubscriberReceipt>,
}

/// What one subscriber leaves behind.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SubscriberReceipt {
    /// The stream.
    pub stream: String,
    /// The group.
    pub group: String,
    /// What it did.
    #[serde(flatten)]
    pub tally: TallySnapshot,
}

impl Receipt {
    pub(crate) fn of(subscribers: Vec<SubscriberReceipt>) -> Self {
        let sum = subscribers
            .iter()
            .fold(TallySnapshot::default(), |sum, one| sum.plus(one.tally));
        Self {
            settled: sum.handled + sum.skipped + sum.retried + sum.dead,
            given_back: sum.given_back,
            abandoned: sum.abandoned,
            unsent: sum.unsent,
            drained: sum.abandoned == 0,
            subscribers,
        }
    }

    /// What the subscriber of this group did, over all streams.
    #[must_use]
    pub fn of_group(&self, group: &str) -> TallySnapshot {
        self.subscribers
            .iter()
            .filter(|one| one.group == group)
            .fold(TallySnapshot::default(), |sum, one| sum.plus(one.tally))
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "settled {}, given back {}, abandoned {}, unsent {}",
            self.settled, self.given_back, self.abandoned, self.unsent
        )
    }
}
