//! What becomes of each message of a batch.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::vec::IntoIter;

use super::boxed::boxed;
use super::{BoxError, IntoOutcome, Outcome};

/// What becomes of each message of a batch, in the order of the messages.
#[derive(Debug, Default)]
pub struct Outcomes(Vec<Result<Outcome, BoxError>>);

impl Outcomes {
    /// So many messages are done.
    #[must_use]
    pub fn done(count: usize) -> Self {
        std::iter::repeat_with(|| Ok(Outcome::Ack)).take(count).collect()
    }

    /// So many messages failed, all for one reason.
    pub fn failed(error: impl Into<BoxError>, count: usize) -> Self {
        let error = Arc::new(error.into());
        std::iter::repeat_with(|| Err(SharedError(Arc::clone(&error)).into()))
            .take(count)
            .collect()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Result<Outcome, BoxError>> {
        self.0.iter()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Result<Outcome, BoxError>] {
        &mut self.0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An outcome for each of `count` messages, whatever was answered: an error of all of them is that of each.
    pub(crate) fn each(answer: Result<Self, BoxError>, count: usize) -> Self {
        answer
            .and_then(|outcomes| outcomes.of(count))
            .unwrap_or_else(|error| Self::failed(error, count))
    }

    /// These, if there is one for each of `count` messages.
    pub(crate) fn of(self, count: usize) -> Result<Self, BoxError> {
        if self.0.len() == count {
            return Ok(self);
        }
        Err(format!(
            "the handler answered {} outcomes for {count} messages; it owes one for each",
            self.0.len()
        )
        .into())
    }
}

impl FromIterator<Result<Outcome, BoxError>> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Result<Outcome, BoxError>>>(outcomes: I) -> Self {
        Self(outcomes.into_iter().collect())
    }
}

impl IntoIterator for Outcomes {
    type Item = Result<Outcome, BoxError>;
    type IntoIter = IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What a handler of batches may answer: unit, a list with an outcome for each message, or a result of one of these,
/// whose error is that of each message.
pub trait IntoOutcomes {
    /// What becomes of each of `count` messages.
    ///
    /// # Errors
    ///
    /// What concerns all of them.
    fn into_outcomes(self, count: usize) -> Result<Outcomes, BoxError>;
}

impl IntoOutcomes for () {
    fn into_outcomes(self, count: usize) -> Result<Outcomes, BoxError> {
        Ok(Outcomes::done(count))
    }
}

impl IntoOutcomes for Outcomes {
    fn into_outcomes(self, count: usize) -> Result<Outcomes, BoxError> {
        self.of(count)
    }
}

impl<T: IntoOutcome> IntoOutcomes for Vec<T> {
    fn into_outcomes(self, count: usize) -> Result<Outcomes, BoxError> {
        let outcomes: Outcomes = self.into_iter().map(IntoOutcome::into_outcome).collect();
        outcomes.of(count)
    }
}

impl<T: IntoOutcomes, E: Into<BoxError> + 'static> IntoOutcomes for Result<T, E> {
    fn into_outcomes(self, count: usize) -> Result<Outcomes, BoxError> {
        self.map_err(boxed)?.into_outcomes(count)
    }
}

/// An error that several messages share.
#[derive(Clone, Debug)]
struct SharedError(Arc<BoxError>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The error itself, where several messages share it.
pub(crate) fn cause(error: &BoxError) -> &(dyn StdError + 'static) {
    match error.downcast_ref::<SharedError>() {
        Some(shared) => &**shared.0,
        None => &**error,
    }
}
