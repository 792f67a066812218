//! What became of every message, so that "lost" is measured and not assumed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use broker::prelude::*;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::bits::Bits;
use crate::order::Stamp;
use crate::{GROUPS, plan::Plan};

/// How many messages the slowest group may be behind before the shop waits.
const WINDOW: u64 = 2000;

/// Every message of this run: whether it was published, and what became of it in each group.
pub(crate) struct Ledger {
    plan: Plan,
    stored: Mutex<Bits>,
    published: AtomicU64,
    unsent: AtomicU64,
    groups: [Group; GROUPS.len()],
    moved: Notify,
}

/// One group's side of the ledger.
#[derive(Default)]
pub(crate) struct Group {
    pages: Mutex<Pages>,
    settled: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
}

#[derive(Default)]
struct Pages {
    handled: Bits,
    gave_up: Bits,
    /// By customer: the latest turn that came, and whether it is settled.
    latest: HashMap<usize, (u64, bool)>,
    repeated: u64,
    out_of_order: u64,
}

/// The counters, for the progress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) settled: u64,
    pub(crate) in_flight: u64,
    pub(crate) retried: u64,
    pub(crate) dead: u64,
}

/// A group's account at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) published: u64,
    pub(crate) handled: u64,
    pub(crate) retried: u64,
    pub(crate) dead: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            stored: Mutex::default(),
            published: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            groups: Default::default(),
            moved: Notify::new(),
        }
    }

    /// Notes what publishing answered. Only what the broker certainly has can be lost.
    pub(crate) fn published(&self, sequence: usize, outcome: &Outcome) {
        if outcome.is_stored() {
            lock(&self.stored).insert(sequence);
            self.published.fetch_add(1, Ordering::Relaxed);
        } else {
            self.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Notes a delivery, before it is handled: whether it is in order, and whether it was done before.
    pub(crate) fn arrived(&self, group: usize, stamp: &Stamp, attempt: u32) {
        let Some(group) = self.groups.get(group) else {
            return;
        };
        if attempt > 1 {
            group.retried.fetch_add(1, Ordering::Relaxed);
        }
        let pages = &mut *lock(&group.pages);
        let done = pages.is_done(stamp);
        pages.repeated += u64::from(done);
        let (latest, settled) = *pages.latest(stamp.customer);
        if stamp.turn > latest {
            // The one before is still under way: it may yet come again, and then after this one.
            pages.out_of_order += u64::from(self.plan.sequential && !settled && latest > 0);
            *pages.latest(stamp.customer) = (stamp.turn, false);
        } else if stamp.turn < latest && !done {
            pages.out_of_order += u64::from(self.plan.ordered);
        }
    }

    /// Notes that the work is done; to be called before the ack, for the next message may come at once after it.
    pub(crate) fn handled(&self, group: usize, stamp: &Stamp) {
        self.settle(group, stamp, |pages| &mut pages.handled);
    }

    /// Notes that a message failed for good; to be called before it is refused.
    pub(crate) fn gave_up(&self, group: usize, stamp: &Stamp) {
        if self.settle(group, stamp, |pages| &mut pages.gave_up)
            && let Some(group) = self.groups.get(group)
        {
            group.dead.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn settle(&self, group: usize, stamp: &Stamp, page: impl Fn(&mut Pages) -> &mut Bits) -> bool {
        let Some(group) = self.groups.get(group) else {
            return false;
        };
        let new = {
            let pages = &mut *lock(&group.pages);
            let (latest, settled) = pages.latest(stamp.customer);
            *settled |= *latest == stamp.turn;
            !pages.is_done(stamp) && page(pages).insert(stamp.sequence)
        };
        if new {
            group.settled.fetch_add(1, Ordering::Relaxed);
            self.moved.notify_waiters();
        }
        new
    }

    pub(crate) fn counts(&self) -> Counts {
        let published = self.published.load(Ordering::Relaxed);
        let mut counts = Counts {
            published,
            ..Counts::default()
        };
        for group in &self.groups {
            let settled = group.settled.load(Ordering::Relaxed);
            counts.settled += settled;
            counts.in_flight += published.saturating_sub(settled);
            counts.retried += group.retried.load(Ordering::Relaxed);
            counts.dead += group.dead.load(Ordering::Relaxed);
        }
        counts
    }

    /// Waits until the slowest group is less than a window behind; answers `false` where nothing moves any more.
    pub(crate) async fn has_room(&self) -> bool {
        self.reaches(|| self.behind() < WINDOW).await
    }

    /// Waits until each group has settled all; answers `false` where nothing moves any more.
    pub(crate) async fn drained(&self) -> bool {
        self.reaches(|| self.is_drained()).await
    }

    /// The counters alone could be made up for by a message that came although publishing it had no clear answer.
    fn is_drained(&self) -> bool {
        self.behind() == 0
            && self.groups.iter().all(|group| {
                let pages = lock(&group.pages);
                lock(&self.stored).count_without(&pages.handled, &pages.gave_up) == 0
            })
    }

    fn behind(&self) -> u64 {
        let published = self.published.load(Ordering::Relaxed);
        let settled = self
            .groups
            .iter()
            .map(|group| group.settled.load(Ordering::Relaxed))
            .min();
        published.saturating_sub(settled.unwrap_or(0))
    }

    async fn reaches(&self, condition: impl Fn() -> bool) -> bool {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if condition() {
                return true;
            }
            if timeout(self.plan.patience, moved).await.is_err() {
                return condition();
            }
        }
    }

    /// A group's account. `kept` is what the broker shows as its dead letters; where it keeps none, what was given up.
    pub(crate) fn account(&self, group: usize, kept: Option<&Bits>) -> Option<Account> {
        let group = self.groups.get(group)?;
        let pages = lock(&group.pages);
        let stored = lock(&self.stored);
        let dead = kept.unwrap_or(&pages.gave_up);
        Some(Account {
            published: stored.count(),
            handled: pages.handled.count(),
            retried: group.retried.load(Ordering::Relaxed),
            dead: dead.count(),
            lost: stored.count_without(&pages.handled, dead),
            repeated: pages.repeated,
            out_of_order: pages.out_of_order,
        })
    }
}

impl Pages {
    fn is_done(&self, stamp: &Stamp) -> bool {
        self.handled.contains(stamp.sequence) || self.gave_up.contains(stamp.sequence)
    }

    fn latest(&mut self, customer: usize) -> &mut (u64, bool) {
        self.latest.entry(customer).or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(sequential: bool) -> Ledger {
        let plan = Plan {
            acks: true,
            nacks: true,
            dead_letters: true,
            ordered: true,
            sequential,
            max_attempts: 4,
            patience: std::time::Duration::ZERO,
        };
        let ledger = Ledger::new(plan);
        for sequence in 0..3 {
            ledger.published(sequence, &Outcome::Stored(broker::MessageId::Text("x".into())));
        }
        ledger
    }

    fn stamp(sequence: usize) -> Stamp {
        Stamp {
            run: 1,
            sequence,
            customer: 5,
            turn: sequence as u64 + 1,
        }
    }

    #[test]
    fn what_is_neither_handled_nor_kept_is_lost() {
        let ledger = ledger(true);
        ledger.handled(0, &stamp(0));
        ledger.gave_up(0, &stamp(1));
        let account = |kept: &Bits| ledger.account(0, Some(kept)).unwrap();
        assert_eq!(
            account(&Bits::default()).lost,
            2,
            "given up, and not among the dead letters"
        );
        let mut kept = Bits::default();
        kept.insert(1);
        let account = account(&kept);
        assert_eq!((account.handled, account.dead, account.lost), (1, 1, 1));
    }

    #[test]
    fn a_message_that_overtakes_is_noticed() {
        let ledger = ledger(false);
        ledger.arrived(0, &stamp(1), 1);
        ledger.arrived(0, &stamp(0), 1);
        assert_eq!(ledger.account(0, None).unwrap().out_of_order, 1);
    }

    #[test]
    fn a_message_that_does_not_wait_for_a_failing_one_is_noticed() {
        for (sequential, expected) in [(true, 1), (false, 0)] {
            let ledger = ledger(sequential);
            ledger.arrived(0, &stamp(0), 1);
            ledger.arrived(0, &stamp(1), 1);
            ledger.handled(0, &stamp(1));
            ledger.arrived(0, &stamp(2), 1);
            assert_eq!(ledger.account(0, None).unwrap().out_of_order, expected);
        }
    }

    #[test]
    fn what_comes_again_after_it_was_done_is_counted_and_settles_nothing() {
        let ledger = ledger(true);
        for _ in 0..2 {
            ledger.arrived(0, &stamp(0), 1);
            ledger.handled(0, &stamp(0));
        }
        let account = ledger.account(0, None).unwrap();
        assert_eq!(
            (account.repeated, account.handled, account.out_of_order),
            (1, 1, 0)
        );
        assert_eq!(ledger.counts().settled, 1);
    }
}
