//! What a handler may answer.

use super::boxed::boxed;
use super::{BoxError, Outcome, Outgoing};

/// What a handler may answer: unit, an [`Outcome`], messages to publish, or a result of one of these.
pub trait IntoOutcome {
    /// What becomes of the message.
    ///
    /// # Errors
    ///
    /// The handler's error, which the retry policy decides on.
    fn into_outcome(self) -> Result<Outcome, BoxError>;
}

impl IntoOutcome for () {
    #[inline]
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

impl IntoOutcome for Outcome {
    #[inline]
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(self)
    }
}

impl IntoOutcome for Outgoing {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Publish(vec![self]))
    }
}

impl IntoOutcome for Vec<Outgoing> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Publish(self))
    }
}

impl<T: IntoOutcome> IntoOutcome for Option<T> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        self.map_or(Ok(Outcome::Ack), T::into_outcome)
    }
}

impl<T: IntoOutcome, E: Into<BoxError> + 'static> IntoOutcome for Result<T, E> {
    #[inline]
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Err(boxed(error)),
        }
    }
}
