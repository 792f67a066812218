//! What publishing answers.

use super::{Error, MessageId, Result, Retry};

/// What became of one message that was to be published.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The broker has it, as it promises to keep it, under this id.
    Stored(MessageId),
    /// The broker does not have it.
    NotSent(Error),
    /// It may or may not be stored: the connection was lost, or the time was up, between request and answer.
    Unknown(Error),
}

impl Outcome {
    /// The id, or the error.
    ///
    /// # Errors
    ///
    /// That of [`NotSent`](Self::NotSent) and [`Unknown`](Self::Unknown); [`Error::retry_class`] tells them apart.
    pub fn into_result(self) -> Result<MessageId> {
        match self {
            Self::Stored(id) => Ok(id),
            // Without the variant only the class is left to tell the two apart.
            Self::NotSent(error) if error.retry_class() == Retry::Unknown => Err(error.retry(Retry::Safe)),
            Self::NotSent(error) => Err(error),
            Self::Unknown(error) => Err(error.retry(Retry::Unknown)),
        }
    }

    /// Whether the broker has it for certain.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}

/// One outcome per message, in the order they were handed in.
///
/// A batch that went to one place of a log is three numbers and no list.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://?max_payload=10").await?;
/// let orders = vec![Message::text("coffee"), Message::text("all the tea in China")];
/// for outcome in broker.publish_batch("orders", orders).await?.into_outcomes() {
///     match outcome {
///         Outcome::Stored(id) => println!("stored as {id}"),
///         Outcome::NotSent(error) => assert_eq!(error.kind(), ErrorKind::TooLarge),
///         Outcome::Unknown(error) => println!("perhaps stored, so it may be doubled by sending it again: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Published(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Run { partition: u32, first: u64, len: usize },
    Each(Vec<Outcome>),
}

impl Published {
    /// `len` messages stored one after the other in `partition`, the first at offset `first`.
    #[must_use]
    pub const fn run(partition: u32, first: u64, len: usize) -> Self {
        Self(Repr::Run {
            partition,
            first,
            len,
        })
    }

    /// One outcome for each message.
    #[must_use]
    pub const fn each(outcomes: Vec<Outcome>) -> Self {
        Self(Repr::Each(outcomes))
    }

    /// How many messages were answered.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Run { len, .. } => *len,
            Repr::Each(outcomes) => outcomes.len(),
        }
    }

    /// Whether there was nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the broker has all of them.
    #[must_use]
    pub fn all_stored(&self) -> bool {
        match &self.0 {
            Repr::Run { .. } => true,
            Repr::Each(outcomes) => outcomes.iter().all(Outcome::is_stored),
        }
    }

    /// How many the broker has for certain.
    #[must_use]
    pub fn stored(&self) -> usize {
        match &self.0 {
            Repr::Run { len, .. } => *len,
            Repr::Each(outcomes) => outcomes.iter().filter(|outcome| outcome.is_stored()).count(),
        }
    }

    /// The id of the message at `index`, if it is stored.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<MessageId> {
        match &self.0 {
            Repr::Run {
                partition,
                first,
                len,
            } => (index < *len).then(|| MessageId::Offset {
                partition: *partition,
                offset: first.wrapping_add(index as u64),
            }),
            Repr::Each(outcomes) => match outcomes.get(index)? {
                Outcome::Stored(id) => Some(id.clone()),
                Outcome::NotSent(_) | Outcome::Unknown(_) => None,
            },
        }
    }

    /// The outcome of the message at `index`.
    #[must_use]
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        match &self.0 {
            Repr::Run { .. } => self.id(index).map(Outcome::Stored),
            Repr::Each(outcomes) => outcomes.get(index).cloned(),
        }
    }

    /// The ids of those that are stored, in order.
    pub fn ids(&self) -> impl Iterator<Item = MessageId> {
        (0..self.len()).filter_map(|index| self.id(index))
    }

    /// The outcomes one by one.
    #[must_use]
    pub fn into_outcomes(self) -> Vec<Outcome> {
        match self.0 {
            Repr::Run {
                partition,
                first,
                len,
            } => (0..len as u64)
                .map(|by| {
                    Outcome::Stored(MessageId::Offset {
                        partition,
                        offset: first.wrapping_add(by),
                    })
                })
                .collect(),
            Repr::Each(outcomes) => outcomes,
        }
    }

    /// The ids of all, or the first error.
    ///
    /// # Errors
    ///
    /// The first outcome that is not [`Outcome::Stored`].
    pub fn into_ids(self) -> Result<Vec<MessageId>> {
        self.into_outcomes()
            .into_iter()
            .map(Outcome::into_result)
            .collect()
    }
}
