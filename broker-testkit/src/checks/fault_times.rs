//! When faults were, and which acks they may have undone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Entry;

/// When faults were, and when each message was acked.
pub(super) struct Faults {
    ack_lag: Duration,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    /// Beginnings and ends.
    faults: Vec<(Instant, Option<Instant>)>,
    acks: HashMap<Entry, Instant>,
}

impl Faults {
    pub(super) fn new(ack_lag: Duration) -> Self {
        Self {
            ack_lag,
            times: Mutex::default(),
        }
    }

    /// A fault begins, which ends when the answer is dropped.
    pub(super) fn begin(&self) -> Fault<'_> {
        let mut times = self.times();
        times.faults.push((Instant::now(), None));
        Fault {
            of: self,
            index: times.faults.len() - 1,
        }
    }

    /// An ack was answered.
    pub(super) fn acked(&self, entry: Entry) {
        self.times().acks.insert(entry, Instant::now());
    }

    /// Whether the message was acked so near to a fault that the server may not know of it.
    pub(super) fn may_have_undone(&self, entry: Entry) -> bool {
        let times = self.times();
        !self.ack_lag.is_zero()
            && times.acks.get(&entry).is_some_and(|acked| {
                let near = |(begun, ended): &(Instant, Option<Instant>)| {
                    *begun <= *acked + self.ack_lag
                        && ended.is_none_or(|ended| *acked <= ended + self.ack_lag)
                };
                times.faults.iter().any(near)
            })
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault that goes on.
pub(super) struct Fault<'a> {
    of: &'a Faults,
    index: usize,
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        if let Some((_, ended)) = self.of.times().faults.get_mut(self.index) {
            *ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_an_ack_within_its_lag_of_a_fault_may_be_undone() {
        let entry = |sequence| Entry {
            publisher: 0,
            sequence,
        };
        let faults = Faults::new(Duration::from_millis(100));
        let wait = |millis| tokio::time::sleep(Duration::from_millis(millis));
        faults.acked(entry(0));
        wait(101).await;
        faults.acked(entry(1));
        wait(99).await;
        let fault = faults.begin();
        faults.acked(entry(2));
        wait(1_000).await;
        drop(fault);
        wait(99).await;
        faults.acked(entry(3));
        wait(2).await;
        faults.acked(entry(4));
        let undone: Vec<_> = (0..6).filter(|at| faults.may_have_undone(entry(*at))).collect();
        assert_eq!(undone, [1, 2, 3]);
        let strict = Faults::new(Duration::ZERO);
        let _fault = strict.begin();
        strict.acked(entry(0));
        assert!(!strict.may_have_undone(entry(0)), "its acks are the server's own");
    }
}
