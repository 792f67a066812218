//! What was given up, to be looked at.

use std::ops::Deref;

use broker_core::{DeadLetter, Failure};

use crate::unmet::unmet;

/// The dead letters of one group, newest first.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    place: String,
    letters: Vec<DeadLetter>,
}

impl DeadLetters {
    pub(crate) fn new(place: String, letters: Vec<DeadLetter>) -> Self {
        Self { place, letters }
    }

    /// The only one.
    ///
    /// # Panics
    ///
    /// Where there are none or several.
    #[track_caller]
    pub fn assert_one(&self) -> OneDeadLetter<'_> {
        match self.letters.as_slice() {
            [one] => OneDeadLetter(one),
            all => unmet(&format!(
                "one dead letter was expected of {}, and there are {}: {:?}",
                self.place,
                all.len(),
                all.iter()
                    .map(|letter| &letter.failure.reason)
                    .collect::<Vec<_>>()
            )),
        }
    }

    /// Makes sure that there are none.
    ///
    /// # Panics
    ///
    /// Where there are some.
    #[track_caller]
    pub fn assert_none(&self) {
        if let Some(first) = self.letters.first() {
            unmet(&format!(
                "no dead letter was expected of {}, and there are {}; the newest: {}",
                self.place,
                self.letters.len(),
                first.failure.reason
            ));
        }
    }
}

impl Deref for DeadLetters {
    type Target = [DeadLetter];

    fn deref(&self) -> &[DeadLetter] {
        &self.letters
    }
}

/// A dead letter that was the only one.
#[derive(Clone, Copy, Debug)]
pub struct OneDeadLetter<'a>(&'a DeadLetter);

impl<'a> OneDeadLetter<'a> {
    /// Makes sure that the reason, or an error below it, has `text` in it.
    ///
    /// # Panics
    ///
    /// Where it has not.
    #[track_caller]
    pub fn reason_contains(self, text: &str) -> Self {
        let Failure { reason, chain } = &self.0.failure;
        if !std::iter::once(reason)
            .chain(chain)
            .any(|line| line.contains(text))
        {
            unmet(&format!(
                "the message was given up because of `{reason}` {chain:?}, and not of `{text}`"
            ));
        }
        self
    }

    /// Makes sure how often it was tried.
    ///
    /// # Panics
    ///
    /// Where it was tried more or less often.
    #[track_caller]
    pub fn after_attempts(self, attempts: u32) -> Self {
        if self.0.attempts != attempts {
            unmet(&format!(
                "{attempts} attempts were expected, and there were {}",
                self.0.attempts
            ));
        }
        self
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> &'a DeadLetter {
        self.0
    }
}

impl Deref for OneDeadLetter<'_> {
    type Target = DeadLetter;

    fn deref(&self) -> &DeadLetter {
        self.0
    }
}
