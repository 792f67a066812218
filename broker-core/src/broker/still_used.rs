//! What is known as long as somebody else has it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What was handed out, as long as somebody has it: bounded by what is in use.
pub(super) struct StillUsed<T>(Mutex<Vec<Weak<T>>>);

impl<T> StillUsed<T> {
    /// Remembers one more, and forgets those that nobody has.
    pub(super) fn add(&self, one: &Arc<T>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.strong_count() > 0);
        known.push(Arc::downgrade(one));
    }

    /// Those that somebody has.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).collect()
    }
}

impl<T> Default for StillUsed<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
