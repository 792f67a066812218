//! Dead letters.

use std::sync::Arc;

use broker_core::base::DeadLetters;
use broker_core::{
    Capabilities, DeadLetter, DeadLetterPage, DeadLetterQuery, GroupName, MessageId, Result, Selection,
    StreamName, async_trait,
};

use crate::broker::InlineBroker;
use crate::group::DeadLetterStore;
use crate::group::Group;

impl InlineBroker {
    fn dead_group(&self, stream: &StreamName, group: &GroupName) -> Result<Option<Arc<Group>>> {
        self.session.check(Capabilities::DEAD_LETTER_QUEUE)?;
        Ok(self
            .session
            .hub
            .find(stream)
            .and_then(|stream| stream.group(group)))
    }
}

#[async_trait]
impl DeadLetters for InlineBroker {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let group = self.dead_group(stream, group)?;
        Ok(group
            .map(|group| group.dead(|dead| dead.page(query)))
            .unwrap_or_default())
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        let group = self.dead_group(stream, group)?;
        Ok(group.and_then(|group| group.dead(|dead| dead.get(id).cloned())))
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        match self.dead_group(stream, group)? {
            Some(group) => group.replay_dead(selection),
            None => DeadLetterStore::new(0)
                .take(selection)
                .map(|none| none.len() as u64),
        }
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        match self.dead_group(stream, group)? {
            Some(group) => group
                .dead(|dead| dead.take(selection))
                .map(|gone| gone.len() as u64),
            None => DeadLetterStore::new(0)
                .take(selection)
                .map(|none| none.len() as u64),
        }
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        let group = self.dead_group(stream, group)?;
        Ok(group.map_or(0, |group| group.dead(|dead| dead.len() as u64)))
    }
}
