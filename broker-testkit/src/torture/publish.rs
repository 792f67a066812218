//! The publishers of a torture run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::{Outcome, Published, Retry};
use fastrand::Rng;
use tokio::time::Instant;

use super::Torture;
use super::clock::Moment;
use crate::Ledger;

/// How far publishing may be ahead of consuming: both sides are to be at work when a fault strikes.
const AHEAD: u64 = 5_000;

/// Between two looks at whether more may be published.
const LOOK: Duration = Duration::from_millis(5);

/// What publishers, consumers and the run's loop share.
pub(super) struct Account {
    pub(super) ledger: Ledger,
    pub(super) stored: AtomicU64,
    pub(super) settled: AtomicU64,
    /// When publishing was answered with at least one message stored.
    pub(super) answered: Mutex<Vec<Moment>>,
}

impl Account {
    pub(super) fn new(run: &str) -> Self {
        Self {
            ledger: Ledger::new(run, "torture"),
            stored: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            answered: Mutex::default(),
        }
    }
}

/// One publisher: it publishes alone and in batches, each message once, until the run has enough.
pub(super) async fn publish(
    torture: Arc<Torture>,
    broker: Broker,
    account: Arc<Account>,
    number: u32,
    mut rng: Rng,
    began: Instant,
) {
    let bound = torture.bound().unwrap_or(u64::MAX);
    loop {
        let after = began.elapsed();
        let stored = account.stored.load(Ordering::Acquire);
        if stored >= bound || torture.is_over(after) {
            return;
        }
        let room = torture.allowed(after).saturating_sub(stored);
        let ahead = stored.saturating_sub(account.settled.load(Ordering::Acquire));
        if room == 0 || ahead >= AHEAD {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let share = usize::try_from(room / u64::from(torture.publishers.max(1))).unwrap_or(usize::MAX);
        let size = if rng.bool() {
            1
        } else {
            rng.usize(2..=100).min(share.max(1))
        };
        let messages: Vec<_> = (0..size)
            .map(|_| {
                let key = format!("k{}", rng.u32(0..torture.keys.max(1)));
                account.ledger.message_of(number, Some(&key), rng.usize(0..300))
            })
            .collect();
        let published = match broker
            .publish_batch(torture.stream.as_str(), messages.clone())
            .await
        {
            Ok(published) => published,
            Err(error) => {
                let unknown = error.retry_class() == Retry::Unknown;
                let outcome = move || match unknown {
                    true => Outcome::Unknown(error.clone()),
                    false => Outcome::NotSent(error.clone()),
                };
                Published::each(std::iter::repeat_with(outcome).take(size).collect())
            }
        };
        account.ledger.published(&messages, &published);
        let stored = (0..size).filter(|index| matches!(published.outcome(*index), Some(Outcome::Stored(_))));
        let stored = stored.count() as u64;
        account.stored.fetch_add(stored, Ordering::AcqRel);
        if stored > 0 {
            let mut answered = account.answered.lock().unwrap_or_else(PoisonError::into_inner);
            answered.push(Moment::now());
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
}
