//! Removing old messages.

use std::collections::BTreeSet;

use broker_core::base::{TrimTo, Trimmed};
use broker_core::{Result, StartPosition};

use super::state::State;
use super::stream::Stream;
use crate::clock::Stamp;
use crate::log::{Cut, Log};

impl Stream {
    /// Removes the oldest messages as far as `to` says, but none that a group needs unless `force` is set.
    pub(crate) fn trim(&self, to: &TrimTo, force: bool) -> Result<Trimmed> {
        let targets = self.lock().targets(to)?;
        let mut trimmed = Trimmed::default();
        if force {
            trimmed.lost = self.skip_groups(&targets);
        }
        let mut cut = Cut::default();
        let mut state = self.lock();
        for (partition, target) in targets.iter().enumerate() {
            let limit = if force {
                *target
            } else {
                (*target).min(state.floor(partition))
            };
            if let Some(log) = state.logs.get_mut(partition) {
                let some = log.cut(limit);
                state.forget(&some);
                cut.join(some);
            }
        }
        trimmed.removed = cut.messages;
        drop(state);
        drop(cut);
        self.wake_publisher();
        Ok(trimmed)
    }

    /// Lets every group go on at the targets, before anything is removed; answers how many messages some group needed.
    fn skip_groups(&self, targets: &[u64]) -> u64 {
        let groups: Vec<_> = self.lock().live_groups().cloned().collect();
        let mut lost: Vec<BTreeSet<u64>> = targets.iter().map(|_| BTreeSet::new()).collect();
        for group in groups {
            let mut count = 0;
            for ((progress, target), lost) in group.progress().iter().zip(targets).zip(&mut lost) {
                if progress.low() < *target {
                    let skipped = progress.lose_before(*target);
                    count += skipped.len() as u64;
                    lost.extend(skipped);
                }
            }
            if count > 0 {
                self.tell_lost(&group.name, count);
                group.gate.wake_all();
            }
        }
        lost.iter().map(|offsets| offsets.len() as u64).sum()
    }
}

impl State {
    /// The first offset that is to be left, by partition.
    fn targets(&self, to: &TrimTo) -> Result<Vec<u64>> {
        match to {
            TrimTo::Length(length) => Ok(self.targets_by_length(*length)),
            TrimTo::Time(time) => {
                let at = Stamp::from(*time);
                Ok(self.logs.iter().map(|log| log.first_since(at)).collect())
            }
            TrimTo::Id(id) => {
                let position = StartPosition::Id(id.clone());
                (0..self.logs.len())
                    .map(|partition| self.resolve(partition, &position))
                    .collect()
            }
        }
    }

    fn targets_by_length(&self, length: u64) -> Vec<u64> {
        let mut targets: Vec<u64> = self.logs.iter().map(Log::head).collect();
        let mut over = self.logs.iter().map(Log::len).sum::<u64>().saturating_sub(length);
        while over > 0 {
            let oldest = self
                .logs
                .iter()
                .zip(&mut targets)
                .filter(|(log, target)| **target < log.tail())
                .min_by_key(|(log, target)| log.stamp_at(**target));
            let Some((_, target)) = oldest else {
                break;
            };
            *target += 1;
            over -= 1;
        }
        targets
    }
}
