//! Why a message was refused.

use std::error::Error as StdError;

/// Why a delivery was nacked, kept with the message until it is settled for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// One line for people.
    pub reason: String,
    /// The errors below it, the outermost first.
    pub chain: Vec<String>,
}

impl Failure {
    /// A failure with a reason and nothing below it.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            chain: Vec::new(),
        }
    }

    /// The reason and the sources of `error`.
    #[must_use]
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let chain = std::iter::successors(error.source(), |error| (*error).source())
            .map(ToString::to_string)
            .collect();
        Self {
            reason: error.to_string(),
            chain,
        }
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}
