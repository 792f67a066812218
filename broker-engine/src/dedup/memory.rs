//! Ids within this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_core::{Result, async_trait};
use tokio::time::Instant;

use super::{Claim, DedupStore};

/// Remembers message ids within this process, bounded in time and number. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryDedup {
    ids: Arc<Mutex<Ids>>,
    time_to_live: Duration,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Ids {
    /// Until when; and whether it was handled.
    known: HashMap<Arc<str>, (Instant, bool)>,
    /// In the order of their ends.
    ends: VecDeque<(Instant, Arc<str>)>,
}

impl MemoryDedup {
    /// Remembers at most `capacity` ids, each for `time_to_live`; beyond it the oldest is forgotten.
    #[must_use]
    pub fn new(time_to_live: Duration, capacity: usize) -> Self {
        Self {
            ids: Arc::default(),
            time_to_live,
            capacity: capacity.max(1),
        }
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, ids: &mut Ids, id: &str, handled: bool) {
        let (id, until): (Arc<str>, _) = (id.into(), Instant::now() + self.time_to_live);
        ids.known.insert(Arc::clone(&id), (until, handled));
        ids.ends.push_back((until, id));
    }
}

impl Ids {
    /// Forgets what has ended, and the oldest where there are too many.
    fn tidy(&mut self, capacity: usize) {
        let now = Instant::now();
        while let Some((end, id)) = self.ends.front() {
            let current = self.known.get(id).is_some_and(|(until, _)| until == end);
            if current && *end > now && self.ends.len() <= capacity {
                break;
            }
            if current {
                self.known.remove(&Arc::clone(id));
            }
            self.ends.pop_front();
        }
    }
}

#[async_trait]
impl DedupStore for MemoryDedup {
    async fn claim(&self, id: &str) -> Result<Claim> {
        let mut ids = self.ids();
        ids.tidy(self.capacity);
        match ids.known.get(id) {
            Some((_, true)) => Ok(Claim::Done),
            Some((_, false)) => Ok(Claim::Busy),
            None => {
                self.remember(&mut ids, id, false);
                Ok(Claim::Mine)
            }
        }
    }

    async fn done(&self, id: &str) -> Result<()> {
        let mut ids = self.ids();
        self.remember(&mut ids, id, true);
        ids.tidy(self.capacity);
        Ok(())
    }

    async fn release(&self, id: &str) -> Result<()> {
        self.ids().known.remove(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ids_are_forgotten_in_time_and_number() {
        let store = MemoryDedup::new(Duration::from_secs(10), 3);
        assert_eq!(store.claim("a").await.unwrap(), Claim::Mine);
        assert_eq!(store.claim("a").await.unwrap(), Claim::Busy);
        store.release("a").await.unwrap();
        assert_eq!(
            store.claim("a").await.unwrap(),
            Claim::Mine,
            "a failed handling does not count"
        );
        store.done("a").await.unwrap();
        assert_eq!(store.claim("a").await.unwrap(), Claim::Done);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(
            store.claim("a").await.unwrap(),
            Claim::Mine,
            "the time to live is over"
        );
        for id in ["b", "c", "d", "e", "f"] {
            store.claim(id).await.unwrap();
            store.done(id).await.unwrap();
            let ids = store.ids();
            assert!(ids.known.len() <= 3 && ids.ends.len() <= 4);
        }
    }
}
