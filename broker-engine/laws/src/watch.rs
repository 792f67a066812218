//! Watches what handlers have in hand at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use broker::engine::Key;
use broker::prelude::*;

use crate::support::{Seen, until};

/// A number and its message's key.
pub(crate) type Keyed = (Json<u64>, Key);

/// Watches what handlers have in hand at once: no key is in two hands.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    /// Keys and numbers, in the order in which their handling ended.
    seen: Seen<(String, u64)>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    handlings: Arc<AtomicUsize>,
    /// The handling that has a key now.
    holders: Arc<Mutex<HashMap<String, usize>>>,
}

impl Watch {
    /// Has these in hand while `work` goes on.
    pub(crate) async fn hold(&self, numbers: Vec<Keyed>, work: impl Future<Output = ()>) {
        let handling = self.handlings.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let named: Vec<_> = numbers
            .into_iter()
            .map(|(Json(number), Key(key))| (String::from_utf8(key.unwrap().to_vec()).unwrap(), number))
            .collect();
        for (key, _) in &named {
            let mut holders = self.holders.lock().unwrap();
            let holder = *holders.entry(key.clone()).or_insert(handling);
            drop(holders);
            assert_eq!(holder, handling, "two have {key} in hand");
        }
        work.await;
        for (key, number) in named {
            self.seen.push((key.clone(), number));
            self.holders.lock().unwrap().remove(&key);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many handlings there were at once, at the most.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// How many handlings there were.
    pub(crate) fn handlings(&self) -> usize {
        self.handlings.load(Ordering::SeqCst)
    }

    /// Waits until so many messages were handled.
    pub(crate) async fn handled(&self, messages: u64) {
        until("all are handled", || self.seen.len() == messages as usize).await;
    }

    /// What this engine handled, so many messages, it settled; each key's messages kept their order, and none came twice.
    pub(crate) async fn kept_order(&self, engine: Engine, messages: u64) {
        let receipt = engine.stop().await.unwrap();
        assert_eq!(
            (receipt.settled, receipt.subscribers[0].tally.panics),
            (messages, 0)
        );
        let mut last = HashMap::new();
        for (key, number) in self.seen.all() {
            let before = last.insert(key.clone(), number);
            assert!(
                before.is_none_or(|before| before < number),
                "{key}: {before:?} before {number}"
            );
        }
    }
}
