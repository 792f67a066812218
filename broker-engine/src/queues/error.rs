//! What may go wrong with a queue.

use std::error::Error as StdError;
use std::fmt;

use broker_core::Error;

/// What may go wrong with a queue.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueueError {
    /// No queue of this name is declared.
    Undeclared {
        /// The name that was asked for.
        name: String,
        /// The names there are, in order.
        declared: Vec<String>,
    },
    /// A name that no queue, stream or group can have.
    BadName {
        /// The name.
        name: String,
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        source: Error,
    },
    /// A value that can't be written as JSON.
    NotSerializable {
        /// The queue that it was for.
        queue: String,
        /// Why not.
        source: Error,
    },
    /// A declaration that can't be read.
    Declaration {
        /// The file, address or key.
        place: String,
        /// What is wrong there.
        reason: String,
        /// The error below.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// What the broker answered.
    Broker(Error),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undeclared { name, declared } => {
                let known = if declared.is_empty() {
                    "none".to_owned()
                } else {
                    declared.join(", ")
                };
                write!(
                    f,
                    "no queue `{name}` is declared (declared: {known}); add {{\"name\":\"{name}\"}}"
                )
            }
            Self::BadName { name, place, source } => {
                write!(f, "{place}: `{name}` is no name: {}", source.message())
            }
            Self::NotSerializable { queue, source } => {
                write!(
                    f,
                    "the value for queue `{queue}` can't be written as JSON: {}",
                    source.message()
                )
            }
            Self::Declaration { place, reason, .. } => write!(f, "{place}: {reason}"),
            Self::Broker(error) => error.fmt(f),
        }
    }
}

impl StdError for QueueError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Undeclared { .. } => None,
            Self::BadName { source, .. } | Self::NotSerializable { source, .. } => Some(source),
            Self::Declaration { source, .. } => {
                source.as_deref().map(|error| error as &(dyn StdError + 'static))
            }
            Self::Broker(error) => StdError::source(error),
        }
    }
}

impl From<Error> for QueueError {
    fn from(error: Error) -> Self {
        Self::Broker(error)
    }
}
