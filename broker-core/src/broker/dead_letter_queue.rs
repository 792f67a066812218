//! A group's failed messages.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::shared::Shared;
use crate::base::DeadLetters;
use crate::values::{
    Capabilities, DeadLetter, DeadLetterPage, DeadLetterQuery, GroupName, MessageId, Result, Selection,
    StreamName,
};

/// A group's failed messages: the same operations on every broker that has them.
///
/// ```
/// use broker::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker::Result<()> {
/// let broker = Broker::connect("inline://").await?;
/// broker.publish("orders", Message::text("one coffee")).await?;
/// for order in broker.read("orders", "billing", 1).await? {
///     order.nack_with(NackOptions::new().reason("the card is not valid").dead_letter()).await?;
/// }
///
/// let dead = broker.dead_letters("orders", "billing")?;
/// for letter in dead.list(Default::default()).await?.letters {
///     println!("{}: {}", letter.id, letter.failure.reason);
/// }
/// assert_eq!(dead.replay_all().await?, 1); // back to its group
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeadLetterQueue {
    shared: Arc<Shared>,
    stream: StreamName,
    group: GroupName,
}

impl DeadLetterQueue {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamName, group: GroupName) -> Self {
        Self {
            shared,
            stream,
            group,
        }
    }

    /// Lists a page, newest first.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn list(&self, query: DeadLetterQuery) -> Result<DeadLetterPage> {
        let letters = self.letters("list dead letters")?;
        self.shared
            .call("list dead letters", || {
                letters.list(&self.stream, &self.group, &query)
            })
            .await
    }

    /// The entry, or `None` where there is none of that id.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn inspect(&self, id: &MessageId) -> Result<Option<DeadLetter>> {
        let letters = self.letters("inspect dead letter")?;
        self.shared
            .call("inspect dead letter", || {
                letters.inspect(&self.stream, &self.group, id)
            })
            .await
    }

    /// Puts one message back to its group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where there is none of that id.
    pub async fn replay(&self, id: &MessageId) -> Result<()> {
        self.replay_selected(&Selection::Ids(vec![id.clone()]))
            .await
            .map(|_| ())
    }

    /// Puts all messages back to their group, oldest first. Answers how many.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn replay_all(&self) -> Result<u64> {
        self.replay_selected(&Selection::All).await
    }

    /// Puts the selected messages back to their group, oldest first. Answers how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where a selected id is not there; then none is replayed.
    pub async fn replay_selected(&self, selection: &Selection) -> Result<u64> {
        let letters = self.letters("replay dead letters")?;
        self.shared
            .call("replay dead letters", || {
                letters.replay(&self.stream, &self.group, selection)
            })
            .await
    }

    /// Removes the selected messages for good. Answers how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where a selected id is not there; then none is removed.
    pub async fn purge(&self, selection: &Selection) -> Result<u64> {
        let letters = self.letters("purge dead letters")?;
        self.shared
            .call("purge dead letters", || {
                letters.purge(&self.stream, &self.group, selection)
            })
            .await
    }

    /// Removes what failed before `time` for good. Answers how many.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn trim(&self, time: SystemTime) -> Result<u64> {
        self.purge(&Selection::Before(time)).await
    }

    /// How many messages there are.
    ///
    /// # Errors
    ///
    /// What the connection answers.
    pub async fn depth(&self) -> Result<u64> {
        let letters = self.letters("count dead letters")?;
        self.shared
            .call("count dead letters", || letters.depth(&self.stream, &self.group))
            .await
    }

    fn letters(&self, operation: &'static str) -> Result<&dyn DeadLetters> {
        self.shared.family(
            self.shared.base.families().dead_letters,
            Capabilities::DEAD_LETTER_QUEUE,
            operation,
        )
    }
}

impl fmt::Debug for DeadLetterQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("stream", &self.stream)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
