//! What a session knows, behind its lock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use broker_core::base::HealthReport;
use broker_core::{ConsumerName, Error, Receipt, Settled};
use broker_window::{Moment, Tag, Who, Window};

use crate::offsets::Committed;
use crate::partition::Partition;
use crate::places::{is_retry, shown};
use crate::progress::{Progress, SPAN, is_crowded};
use crate::sent::Sent;

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
    /// Since when nothing comes although there is something.
    pub(crate) silent: Option<Instant>,
    /// Since when what is to be committed is not: the first try that has had no good answer yet.
    pub(crate) uncommitted: Option<Instant>,
    /// For how long acks are answered all the same.
    pub(crate) commit_grace: Duration,
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
    generation: u64,
    window: Window,
    sent: Sent,
    /// Whether all that was settled is committed.
    written: bool,
}

/// A member in this process.
pub(crate) struct Member {
    pub(crate) who: Who,
    pub(crate) seen: Instant,
}

impl State {
    pub(crate) fn new(lease: Duration, commit_grace: Duration) -> Self {
        Self {
            used: Some(Instant::now()),
            lease,
            commit_grace,
            ..Self::default()
        }
    }

    /// Whether the group has taken no commit for so long that acks wait for one.
    pub(crate) fn is_late(&self) -> bool {
        self.uncommitted
            .is_some_and(|since| since.elapsed() > self.commit_grace)
    }

    /// Adds to a health report, as `name`.
    pub(crate) fn describe(&self, name: &str, report: &mut HealthReport) {
        for partition in self.partitions.values() {
            if partition.window.room() == 0 {
                report.warnings.push(format!(
                    "{name}: {} waits for message {}, which {SPAN} others have overtaken",
                    shown(partition.number),
                    partition.window.low(),
                ));
            }
            if is_crowded(&partition.window) {
                report.warnings.push(format!(
                    "{name}: so many messages of {} fail that they wait for each other",
                    shown(partition.number)
                ));
            }
        }
        if let Some((since, error)) = &self.trouble {
            report
                .warnings
                .push(format!("{name}: {error}, for {}s", since.elapsed().as_secs()));
        }
        if let Some(since) = self.uncommitted.filter(|_| self.is_late()) {
            report.warnings.push(format!(
                "{name}: the group takes no commit, for {}s; acks wait for it",
                since.elapsed().as_secs()
            ));
        }
        if let Some(since) = self.silent {
            report.warnings.push(format!(
                "{name}: nothing comes although there are messages, for {}s; the consumer is replaced",
                since.elapsed().as_secs()
            ));
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
            generation: partition.generation,
            window: partition.window,
            sent: partition.sent,
            written: committed,
        };
        self.past.insert(number, past);
        Some((start, text, committed))
    }

    /// What was known of partitions that went is committed.
    pub(crate) fn wrote(&mut self, numbers: &[u32]) {
        for number in numbers {
            if let Some(past) = self.past.get_mut(number) {
                past.written = true;
            }
        }
    }

    /// Whether what is settled by the receipt is committed, or still can be.
    pub(crate) fn keeps(&self, receipt: Receipt) -> bool {
        let epoch = Tag::epoch(&receipt);
        let owned = self.partitions.get(&receipt.partition);
        let past = self.past.get(&receipt.partition);
        owned.is_some_and(|partition| partition.epoch == epoch)
            || past.is_some_and(|past| past.epoch == epoch && past.written)
    }

    /// Where this process goes on in a partition that it had before and that nobody had meanwhile: it knows more than it
    /// could commit, as the server was away.
    pub(crate) fn resume(&self, found: &Committed) -> Option<(u64, Progress, &Window)> {
        let past = self.past.get(&found.number)?;
        let is_own = found.exists && past.sent.contains(found.start, &found.text);
        is_own.then(|| {
            let known = Progress::of(&past.window, past.generation);
            (past.window.low(), known, &past.window)
        })
    }

    /// What settling a delivery of a partition that went answers.
    pub(crate) fn settled_in_past(&self, receipt: Receipt) -> Settled {
        match self.past.get(&receipt.partition) {
            Some(past) if past.epoch == Tag::epoch(&receipt) && past.window.is_settled(receipt.sequence) => {
                Settled::AlreadySettled
            }
            _ => Settled::Stale,
        }
    }

    /// Whether so much is kept that no more should come in. What rests before it comes again has room of its own.
    pub(crate) fn is_stuffed(&self, bytes: usize) -> bool {
        self.kept(false) >= bytes
    }

    /// Whether the library should stop fetching from the partition, where the group has room for so many bytes.
    pub(crate) fn is_full(&self, partition: &Partition, bytes: usize) -> bool {
        // Once it has stopped it goes on when there is room for more than a little.
        let share = if partition.paused { 8 } else { 4 };
        let rests = is_retry(partition.number) && self.kept(true) >= bytes / share;
        rests || partition.is_full()
    }

    /// The bytes of messages that are kept, of the stream or of those that come again.
    fn kept(&self, retry: bool) -> usize {
        let partitions = self.partitions.values();
        let of = partitions.filter(|partition| is_retry(partition.number) == retry);
        of.map(|partition| partition.bytes).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: u64, text: &str) -> Committed {
        Committed {
            number: 0,
            start,
            progress: Progress::from_text(text),
            text: text.to_owned(),
            exists: true,
        }
    }

    #[test]
    fn what_went_before_it_was_committed_is_not_kept() {
        let mut state = State::new(Duration::from_secs(1), Duration::from_secs(1));
        let receipt = |epoch: u64| Receipt {
            partition: 0,
            sequence: 10,
            attempt: 1,
            major: 0,
            fence: epoch << 32,
        };
        state.partitions.insert(0, Partition::new(0, 1, 10, None));
        assert!(state.keeps(receipt(1)) && !state.keeps(receipt(2)));
        state.let_go(0);
        assert!(!state.keeps(receipt(1)), "no commit was answered");
        state.wrote(&[0]);
        assert!(state.keeps(receipt(1)));
    }

    #[test]
    fn a_partition_that_nobody_had_meanwhile_goes_on_where_it_was_left() {
        let mut state = State::new(Duration::from_secs(1), Duration::from_secs(1));
        let mut partition = Partition::new(0, 1, 10, None);
        let (first, text) = partition.progress();
        partition.sent.push(first, &text);
        partition.sent.confirm();
        // Two more were settled, which could not be committed.
        partition.pass(10);
        partition.pass(11);
        let (second, later) = partition.progress();
        partition.sent.push(second, &later);
        state.partitions.insert(0, partition);
        assert!(state.let_go(0).is_some());
        for own in [found(first, &text), found(second, &later)] {
            let (start, progress, _) = state.resume(&own).unwrap();
            assert_eq!((start, progress.generation), (12, 1));
        }
        let others = Progress {
            generation: 2,
            runs: Vec::new(),
        };
        assert!(state.resume(&found(10, &others.to_text())).is_none());
        assert!(state.resume(&found(10, "")).is_none(), "the group was moved");
    }
}
