//! What goes wrong in the optional families.

use std::time::Duration;

use broker_core::base::{
    DeadLetters, Families, Groups, Leases, PublishBatch, Replay, Retention, Settle, TrimTo, Trimmed,
};
use broker_core::{
    ConsumerName, DeadLetter, DeadLetterPage, DeadLetterQuery, GroupInfo, GroupName, MessageId, Result,
    Selection, Settled, Settlements, StartPosition, StreamName, async_trait,
};

use super::broker::FaultyBroker;
use super::fault::Fault;

impl FaultyBroker {
    fn good(&self) -> Families<'_> {
        self.inner.families()
    }
}

#[async_trait]
impl DeadLetters for FaultyBroker {
    async fn list(
        &self,
        stream: &StreamName,
        group: &GroupName,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage> {
        let mut page = self
            .good()
            .dead_letters
            .unwrap()
            .list(stream, group, query)
            .await?;
        if self.has(Fault::ListsOldestFirst) {
            page.letters.reverse();
        }
        Ok(page)
    }

    async fn inspect(
        &self,
        stream: &StreamName,
        group: &GroupName,
        id: &MessageId,
    ) -> Result<Option<DeadLetter>> {
        self.good().dead_letters.unwrap().inspect(stream, group, id).await
    }

    async fn replay(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let dead = self.good().dead_letters.unwrap();
        if !self.has(Fault::ReplaysToAllGroups) {
            return dead.replay(stream, group, selection).await;
        }
        let query = DeadLetterQuery::default();
        let letters = dead.list(stream, group, &query).await?.letters;
        let is_selected = |letter: &DeadLetter| match selection {
            Selection::Ids(ids) => ids.contains(&letter.id),
            Selection::All | Selection::Before(_) => true,
        };
        let count = dead.purge(stream, group, selection).await?;
        let selected = letters.into_iter().rev().filter(is_selected);
        let mut messages: Vec<_> = selected
            .map(|letter| letter.message.header("replayed-from", letter.id.to_string()))
            .collect();
        if !messages.is_empty() {
            self.inner
                .publish(PublishBatch::new(stream, &mut messages))
                .await?;
        }
        Ok(count)
    }

    async fn purge(&self, stream: &StreamName, group: &GroupName, selection: &Selection) -> Result<u64> {
        let selection = match selection {
            Selection::Ids(_) if self.has(Fault::PurgesAll) => &Selection::All,
            selection => selection,
        };
        self.good()
            .dead_letters
            .unwrap()
            .purge(stream, group, selection)
            .await
    }

    async fn depth(&self, stream: &StreamName, group: &GroupName) -> Result<u64> {
        self.good().dead_letters.unwrap().depth(stream, group).await
    }
}

#[async_trait]
impl Groups for FaultyBroker {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        self.good().groups.unwrap().create(stream, group, start).await
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let mut groups = self.good().groups.unwrap().list(stream).await?;
        if self.has(Fault::HidesLag) {
            groups.iter_mut().for_each(|group| group.lag = 0);
        }
        Ok(groups)
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        self.good().groups.unwrap().delete(stream, group, force).await
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let groups = self.good().groups.unwrap();
        groups.remove_consumer(stream, group, consumer).await
    }
}

#[async_trait]
impl Leases for FaultyBroker {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        if self.has(Fault::ForgetsExtensions) {
            return Ok(Settlements::all(Settled::Acked, settle.len()));
        }
        self.good().leases.unwrap().extend(settle, by).await
    }
}

#[async_trait]
impl Replay for FaultyBroker {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        let replay = self.good().replay.unwrap();
        if self.has(Fault::MovesAllGroups) {
            for other in self.good().groups.unwrap().list(stream).await? {
                replay.seek(stream, &other.group, position).await?;
            }
        }
        replay.seek(stream, group, position).await
    }
}

#[async_trait]
impl Retention for FaultyBroker {
    async fn trim(&self, stream: &StreamName, to: &TrimTo, force: bool) -> Result<Trimmed> {
        let force = force || self.has(Fault::TrimsWhatIsNeeded);
        self.good().retention.unwrap().trim(stream, to, force).await
    }
}
