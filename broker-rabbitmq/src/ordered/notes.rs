//! How often messages were handed out, where the server's own count does not tell.

use std::collections::HashMap;

use crate::entry::Entry;
use crate::meta::Identity;

/// What is known of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// How often it was handed out.
    pub(crate) attempts: u32,
    /// What the server is going to count when it comes again for the first time.
    pub(crate) count: u32,
    /// When it failed for the first time, in ms since 1970.
    pub(crate) first_failed: Option<u64>,
}

/// What is known of the messages that are going to come again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(HashMap<Identity, Note>);

/// One line of what is written: id, copy, attempts, count, first failure.
type Line = (u64, u64, u32, u32, u32, Option<u64>);

impl Notes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what did not come again: it is settled.
    pub(crate) fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }

    /// Takes note of a message, unless something later is known of it.
    pub(crate) fn note(&mut self, identity: Identity, note: Note) {
        let known = self.0.entry(identity).or_insert(note);
        if (note.count, note.attempts) > (known.count, known.attempts) {
            *known = note;
        }
    }

    /// Takes note of all that `other` knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (identity, note) in &other.0 {
            self.note(*identity, *note);
        }
    }

    /// A message came: sets how often it was handed out before. Answers whether that is known.
    pub(crate) fn apply(&mut self, entry: &mut Entry) -> bool {
        let Some(note) = entry.identity().and_then(|identity| self.0.remove(&identity)) else {
            return false;
        };
        // Each time that it came back to the server since then, it may have been handed out once.
        let since = entry.count.saturating_sub(note.count);
        entry.attempt = note.attempts.saturating_add(since).saturating_add(1);
        entry.meta.first_failed = entry.meta.first_failed.or(note.first_failed);
        true
    }

    /// As it is written; `whole` where it tells of all that was handed out and is not settled.
    pub(crate) fn to_text(&self, whole: bool) -> String {
        let lines: Vec<Line> = self
            .0
            .iter()
            .map(|(Identity { id, copy }, note)| {
                (id.0, id.1, *copy, note.attempts, note.count, note.first_failed)
            })
            .collect();
        serde_json::to_string(&(whole, lines)).unwrap_or_default()
    }

    /// What was written, and whether it is the whole; what can't be read tells of nothing.
    pub(crate) fn from_text(text: &[u8]) -> (Self, bool) {
        let (whole, lines): (bool, Vec<Line>) = serde_json::from_slice(text).unwrap_or_default();
        let mut notes = Self::default();
        for (ms, seq, copy, attempts, count, first_failed) in lines {
            let identity = Identity { id: (ms, seq), copy };
            let note = Note {
                attempts,
                count,
                first_failed,
            };
            notes.note(identity, note);
        }
        (notes, whole)
    }
}
