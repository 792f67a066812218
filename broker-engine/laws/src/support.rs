//! What laws share: patience, what handlers tell, messages to handle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::prelude::*;
use broker::{Brokers, DeadLetterQuery};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "never: {what}"
    );
}

/// As [`until`], where asking takes a while itself.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "never: {what}"
    );
}

/// So many attempts, ten milliseconds apart.
pub fn quick(attempts: u32) -> RetryPolicy {
    RetryPolicy::attempts(attempts)
        .delay(Duration::from_millis(10))
        .jitter(false)
}

/// What handlers saw, in order.
#[derive(Clone, Debug)]
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Seen<T> {
    /// Notes one more.
    pub fn push(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    /// All so far.
    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// How many so far.
    #[allow(clippy::len_without_is_empty, reason = "laws count")]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Publishes numbers as JSON, with keys where there are several.
pub async fn publish_numbers(brokers: &Brokers, stream: &str, numbers: std::ops::Range<u64>, keys: u64) {
    let message = |number: u64| {
        let message = Message::json(&number).unwrap();
        match keys {
            0 => message,
            keys => message.key(format!("key-{}", number % keys)),
        }
    };
    let published = brokers
        .publish_batch(stream, numbers.map(message).collect())
        .await
        .unwrap();
    assert!(published.all_stored());
}

/// The dead letters of a group.
pub async fn dead(brokers: &Brokers, stream: &str, group: &str) -> Vec<broker::DeadLetter> {
    let letters = brokers.default_broker().dead_letters(stream, group).unwrap();
    letters.list(DeadLetterQuery::default()).await.unwrap().letters
}
