//! What a session knows, behind its lock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use broker_core::base::HealthReport;
use broker_core::{ConsumerName, Error, Receipt, Settled};

use crate::partition::Partition;
use crate::progress::{SPAN, is_crowded};
use broker_window::{Moment, Who, Window};

/// What a session knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) partitions: BTreeMap<u32, Partition>,
    /// What is known of partitions that went: late settles are told whether they were late.
    past: BTreeMap<u32, Past>,
    pub(crate) members: HashMap<ConsumerName, Member>,
    /// The partition that is read first next time.
    pub(crate) turn: u32,
    /// Why nothing can be read, since when.
    pub(crate) trouble: Option<(Instant, Error)>,
    /// When a member last read or settled.
    pub(crate) used: Option<Instant>,
    /// After how long without that the partitions go to others.
    pub(crate) lease: Duration,
    /// Whether the server has given out the partitions at least once.
    pub(crate) assigned: bool,
    /// How many members there have been.
    pub(crate) numbered: u32,
    /// Consumers that read by it.
    pub(crate) users: usize,
    /// Whether the last of them said that it leaves.
    pub(crate) left: bool,
}

/// A partition that went.
struct Past {
    epoch: u32,
    window: Window,
}

/// A member in this process.
pub(crate) struct Member {
    pub(crate) who: Who,
    pub(crate) seen: Instant,
}

impl State {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            used: Some(Instant::now()),
            lease,
            ..Self::default()
        }
    }

    /// Adds to a health report, as `name`.
    pub(crate) fn describe(&self, name: &str, report: &mut HealthReport) {
        for partition in self.partitions.values() {
            if partition.window.room() == 0 {
                report.warnings.push(format!(
                    "{name}: partition {} waits for message {}, which {SPAN} others have overtaken",
                    partition.number,
                    partition.window.low(),
                ));
            }
            if is_crowded(&partition.window) {
                report.warnings.push(format!(
                    "{name}: so many messages of partition {} fail that they wait for each other",
                    partition.number
                ));
            }
        }
        if let Some((since, error)) = &self.trouble {
            report
                .warnings
                .push(format!("{name}: {error}, for {}s", since.elapsed().as_secs()));
        }
        let unread: u64 = self.partitions.values().map(Partition::unread).sum();
        let pending: u64 = self
            .partitions
            .values()
            .map(|partition| partition.window.pending() + partition.window.parked())
            .sum();
        let bytes: usize = self.partitions.values().map(|partition| partition.bytes).sum();
        report.details.push((
            name.to_owned(),
            format!(
                "{} partitions, {unread} read ahead, {pending} unsettled, {bytes} bytes",
                self.partitions.len()
            ),
        ));
    }

    /// Takes a partition out that goes to another member.
    pub(crate) fn let_go(&mut self, number: u32) -> Option<(u64, String, bool)> {
        let partition = self.partitions.remove(&number)?;
        let (start, text) = partition.progress();
        let committed = partition.committed == Some((start, text.clone()));
        let past = Past {
            epoch: partition.epoch,
            window: partition.window,
        };
        self.past.insert(number, past);
        Some((start, text, committed))
    }

    /// What settling a delivery of a partition that went answers.
    pub(crate) fn settled_in_past(&self, receipt: Receipt) -> Settled {
        match self.past.get(&receipt.partition) {
            Some(past)
                if u64::from(past.epoch) == receipt.fence >> 32
                    && past.window.is_settled(receipt.sequence) =>
            {
                Settled::AlreadySettled
            }
            _ => Settled::Stale,
        }
    }

    /// Whether so much is kept that no more should come in.
    pub(crate) fn is_stuffed(&self, bytes: usize) -> bool {
        let kept: usize = self.partitions.values().map(|partition| partition.bytes).sum();
        kept >= bytes
    }

    /// When something becomes ready by itself.
    pub(crate) fn due(&self) -> Moment {
        let due = self.partitions.values().map(|partition| partition.window.due());
        due.min().unwrap_or(Moment::NEVER)
    }

    /// Whether a member has something in hand.
    pub(crate) fn is_in_hand(&self) -> bool {
        self.partitions.values().any(Partition::is_in_hand)
    }
}
