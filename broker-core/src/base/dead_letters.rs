//! Optional family: dead letters.

use crate::async_trait;
use crate::values::{
    DeadLetter, DeadLetterPage, DeadLetterQuery, GroupName, MessageId, Result, Selection, StreamName,
};

/// Optional family, with [`DEAD_LETTER_QUEUE`](crate::Capabilities::DEAD_LETTER_QUEUE): a group's failed messages.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Lists a page, newest first.
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage>;

    /// The entry, or `None` where there is none of that id.
    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>>;

    /// Puts messages back, oldest first, to their group alone where the broker can; their attempts start anew, a
    /// `replayed-from` header tells the entry's id, and they are gone from the dead letters. Answers how many.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) where an id of the selection is not there; then nothing was replayed.
    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64>;

    /// Removes entries for good. Answers how many.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) where an id of the selection is not there; then nothing was removed.
    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64>;

    /// How many entries there are.
    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64>;
}
