//! Which message of a key comes next, for groups that are read in sequence.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// The unsettled messages of each key in a window, in order; only the first of a key may be out.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    by_key: HashMap<Bytes, VecDeque<u64>>,
    keys: HashMap<u64, Bytes>,
}

impl Lanes {
    /// Puts the message at the end of its key's lane; answers whether it is the first there.
    pub(crate) fn enter(&mut self, offset: u64, key: &Bytes) -> bool {
        let key = match self.by_key.get_key_value(key) {
            Some((own, _)) => own.clone(),
            // A slice of a large buffer would keep the buffer.
            None => Bytes::copy_from_slice(key),
        };
        self.keys.insert(offset, key.clone());
        let lane = self.by_key.entry(key).or_default();
        lane.push_back(offset);
        lane.len() == 1
    }

    /// Whether the message is the first of its key, or has none.
    pub(crate) fn is_first(&self, offset: u64) -> bool {
        self.keys
            .get(&offset)
            .and_then(|key| self.by_key.get(key))
            .is_none_or(|lane| lane.front() == Some(&offset))
    }

    /// Takes the settled message out; answers the one that is now the first of its key, if that changed.
    pub(crate) fn leave(&mut self, offset: u64) -> Option<u64> {
        let key = self.keys.remove(&offset)?;
        let lane = self.by_key.get_mut(&key)?;
        let was_first = lane.front() == Some(&offset);
        if was_first {
            lane.pop_front();
        } else {
            lane.retain(|other| *other != offset);
        }
        let first = lane.front().copied();
        if first.is_none() {
            self.by_key.remove(&key);
        }
        first.filter(|_| was_first)
    }
}
