//! What publishers that wait for handlers are told.

use std::collections::VecDeque;

use broker_core::{Failure, ReceiptRun, Result, Settled, Settlements};
use tokio::sync::Notify;

use crate::sync::{AtomicBool, Mutex, Ordering};

/// How many failures are kept for publishers that have not looked yet.
const KEPT: usize = 1_024;

/// What publishers that wait for handlers are told. While none ever waited, it costs a look at one flag.
#[derive(Debug, Default)]
pub(crate) struct Handlings {
    wanted: AtomicBool,
    settled: Notify,
    given_up: Mutex<VecDeque<GivenUp>>,
}

/// A message that a group gave up.
#[derive(Debug)]
struct GivenUp {
    group: u64,
    partition: u32,
    offset: u64,
    failure: Failure,
}

impl Handlings {
    /// Some broker waits for handlers: from now on it is told.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// Whether some broker waits for handlers.
    #[inline]
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Something was settled, or will never be.
    #[inline]
    pub(crate) fn tell(&self) {
        if self.are_wanted() {
            self.settled.notify_waiters();
        }
    }

    /// The next time that something is settled.
    pub(crate) fn next(&self) -> tokio::sync::futures::Notified<'_> {
        self.settled.notified()
    }

    /// Gives messages up by `settle`. Who then finds them settled finds the failure as well.
    pub(crate) fn give_up(
        &self,
        group: u64,
        runs: &[ReceiptRun],
        failure: &Failure,
        settle: impl FnOnce() -> Result<Settlements>,
    ) -> Result<Settlements> {
        let mut given_up = self.given_up.lock();
        let settlements = settle()?;
        let receipts = runs.iter().flat_map(|run| run.iter());
        for (receipt, settled) in receipts.zip(settlements.iter()) {
            if settled != Settled::Nacked {
                continue;
            }
            if given_up.len() == KEPT {
                given_up.pop_front();
            }
            given_up.push_back(GivenUp {
                group,
                partition: receipt.partition,
                offset: receipt.sequence,
                failure: failure.clone(),
            });
        }
        Ok(settlements)
    }

    /// Why a group gave this message up, if it did.
    pub(crate) fn failure(&self, group: u64, partition: u32, offset: u64) -> Option<Failure> {
        let mut given_up = self.given_up.lock();
        let place = given_up
            .iter()
            .position(|one| (one.group, one.partition, one.offset) == (group, partition, offset))?;
        given_up.remove(place).map(|one| one.failure)
    }
}
