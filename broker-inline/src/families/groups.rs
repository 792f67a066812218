//! Groups.

use broker_core::base::Groups;
use broker_core::{
    Capabilities, ConsumerName, GroupInfo, GroupName, Result, StartPosition, StreamName, async_trait,
};

use crate::broker::InlineBroker;

#[async_trait]
impl Groups for InlineBroker {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        self.session.check(Capabilities::CONSUMER_GROUPS)?;
        self.session.check_start(start)?;
        let (_, made) = self.session.hub.stream(stream)?.open_group(group, start)?;
        Ok(made)
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        self.session.check(Capabilities::CONSUMER_GROUPS)?;
        let Some(stream) = self.session.hub.find(stream) else {
            return Ok(Vec::new());
        };
        let now = self.session.hub.clock.now();
        stream.admit(now);
        Ok(stream
            .groups()
            .iter()
            .map(|group| group.info(&stream, now))
            .collect())
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        self.session.check(Capabilities::CONSUMER_GROUPS)?;
        match self.session.hub.find(stream) {
            Some(stream) => stream.delete_group(group, force),
            None => Ok(false),
        }
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        self.session.check(Capabilities::CONSUMER_GROUPS)?;
        let group = self
            .session
            .hub
            .find(stream)
            .and_then(|stream| stream.group(group));
        Ok(group.map_or(0, |group| group.remove_consumer(consumer)))
    }
}
