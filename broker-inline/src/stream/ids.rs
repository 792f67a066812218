//! The ids of messages published lately.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use broker_core::MessageId;

/// The ids that applications gave to the messages published last, so that publishing one again stores nothing.
#[derive(Debug)]
pub(crate) struct RecentIds {
    known: HashMap<Arc<str>, MessageId>,
    order: VecDeque<Arc<str>>,
    most: usize,
}

impl RecentIds {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// What the broker called the message of this id, if that was lately.
    pub(crate) fn get(&self, id: &str) -> Option<&MessageId> {
        self.known.get(id)
    }

    /// Remembers a message, and forgets the one remembered for longest.
    pub(crate) fn remember(&mut self, id: &str, stored: MessageId) {
        if self.most == 0 {
            return;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.order.push_back(id.clone());
        self.known.insert(id, stored);
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}
