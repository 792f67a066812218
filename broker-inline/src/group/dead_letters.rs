//! A group's failed messages.

use std::collections::BTreeMap;

use broker_core::{
    DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, MessageId, Result, Selection,
};

/// How many entries a page has that does not say.
const PAGE: usize = 100;
/// What an entry's id starts with; its number follows.
const PREFIX: &str = "dead-";

/// A group's failed messages, oldest first.
#[derive(Debug)]
pub(crate) struct DeadLetterStore {
    letters: BTreeMap<u64, DeadLetter>,
    next: u64,
    most: usize,
    /// Room promised to burials on their way.
    reserved: usize,
}

impl DeadLetterStore {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            letters: BTreeMap::new(),
            next: 1,
            most,
            reserved: 0,
        }
    }

    /// Promises room for `count` entries.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<()> {
        if self.letters.len() + self.reserved + count > self.most {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!(
                    "the group has {} dead letters; at most {} are kept (max_dead_letters); replay or purge some",
                    self.letters.len(),
                    self.most
                ),
            ));
        }
        self.reserved += count;
        Ok(())
    }

    /// Takes back a promise, or what is left of it.
    pub(crate) fn release(&mut self, count: usize) {
        self.reserved = self.reserved.saturating_sub(count);
    }

    /// Keeps `letter` under an id of its own, in promised room.
    pub(crate) fn keep(&mut self, letter: DeadLetter) {
        let id = id_of(self.next);
        self.letters.insert(self.next, DeadLetter { id, ..letter });
        self.next += 1;
        self.release(1);
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether no more fit.
    pub(crate) fn is_full(&self) -> bool {
        self.letters.len() >= self.most
    }

    pub(crate) fn get(&self, id: &MessageId) -> Option<&DeadLetter> {
        self.letters.get(&number_of(id)?)
    }

    /// A page, newest first. What is added meanwhile is newer than the cursor and moves nothing.
    pub(crate) fn page(&self, query: &DeadLetterQuery) -> DeadLetterPage {
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        let before = query
            .before
            .as_ref()
            .map_or(Some(u64::MAX), number_of)
            .unwrap_or(0);
        let mut found = self
            .letters
            .range(..before)
            .rev()
            .map(|(_, letter)| letter)
            .filter(|letter| query.since.is_none_or(|since| letter.last_failed >= since))
            .filter(|letter| query.until.is_none_or(|until| letter.last_failed < until));
        let letters: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let next = found.next().and(letters.last()).map(|letter| letter.id.clone());
        DeadLetterPage { letters, next }
    }

    /// Takes out what is selected, oldest first; all of it or, where an id is unknown, nothing.
    pub(crate) fn take(&mut self, selection: &Selection) -> Result<Vec<DeadLetter>> {
        let numbers: Vec<u64> = match selection {
            Selection::All => self.letters.keys().copied().collect(),
            Selection::Before(time) => self
                .letters
                .iter()
                .filter(|(_, letter)| letter.last_failed < *time)
                .map(|(number, _)| *number)
                .collect(),
            Selection::Ids(ids) => {
                let mut numbers = Vec::with_capacity(ids.len());
                for id in ids {
                    let known = number_of(id).filter(|number| self.letters.contains_key(number));
                    numbers.push(known.ok_or_else(|| {
                        Error::new(
                            ErrorKind::NotFound,
                            format!("there is no dead letter `{id}`; list shows those there are"),
                        )
                    })?);
                }
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            }
        };
        Ok(numbers
            .into_iter()
            .filter_map(|number| self.letters.remove(&number))
            .collect())
    }

    /// Puts back, at their old places, what was taken out.
    pub(crate) fn put_back(&mut self, letters: Vec<DeadLetter>) {
        for letter in letters {
            if let Some(number) = number_of(&letter.id) {
                self.letters.insert(number, letter);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.letters.clear();
    }
}

fn id_of(number: u64) -> MessageId {
    MessageId::Text(format!("{PREFIX}{number}").into())
}

fn number_of(id: &MessageId) -> Option<u64> {
    match id {
        MessageId::Text(text) => text.strip_prefix(PREFIX)?.parse().ok(),
        _ => None,
    }
}
