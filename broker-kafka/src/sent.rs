//! The commits of a partition that the server may hold.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How many commits without an answer are told apart; with more of them none is known any more.
const KEPT: usize = 16;

/// The commits of a partition that the server may hold: the last one that it answered for, and those after it.
#[derive(Debug, Default)]
pub(crate) struct Sent(VecDeque<u64>);

impl Sent {
    /// A commit is under way.
    pub(crate) fn push(&mut self, start: u64, text: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(mark(start, text));
    }

    /// The server answered for the last one.
    pub(crate) fn confirm(&mut self) {
        let before_last = self.0.len().saturating_sub(1);
        self.0.drain(..before_last);
    }

    /// Whether it is one of these.
    pub(crate) fn contains(&self, start: u64, text: &str) -> bool {
        self.0.contains(&mark(start, text))
    }
}

fn mark(start: u64, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (start, text).hash(&mut hasher);
    hasher.finish()
}
