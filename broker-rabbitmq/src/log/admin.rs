//! Groups as an operator sees them.

use std::sync::Arc;

use broker_core::base::Groups;
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupInfo, GroupName, Result, StartPosition, StreamName, async_trait,
};
use lapin::options::QueueDeleteOptions;
use lapin::types::ShortString;

use super::group::Group;
use super::{directory, report};
use crate::broker::RabbitMq;
use crate::client::Client;
use crate::error::from_lapin;
use crate::names;

#[async_trait]
impl Groups for RabbitMq {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        let client = self.client();
        client.check_open()?;
        let known = client.readers.known(client, stream, group, start)?;
        known.make(client).await
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let client = self.client();
        client.check_open()?;
        let mut seen = Vec::new();
        for group in directory::read(client, stream).await? {
            seen.extend(see(client, stream, group).await?);
        }
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let end = client.log_end(&names::log(&client.config, stream)?).await?;
        let infos = seen.into_iter().map(|Seen { mut info, next }| {
            info.lag += end.saturating_sub(next);
            info
        });
        Ok(infos.collect())
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        let client = self.client();
        client.check_open()?;
        let queue = names::queue(&client.config, stream, group)?;
        if !client.is_made(&queue).await? {
            return Ok(false);
        }
        let seen = see(client, stream, group.clone()).await?;
        if !force && seen.is_some_and(|seen| seen.info.pending > 0) {
            return Err(Error::new(
                ErrorKind::Throttled,
                "the group has deliveries that are not settled; settle them, or remove it by force",
            ));
        }
        if let Some(known) = client.readers.find(stream, group) {
            known.finish(client).await;
            known.state().past.clear();
        }
        for queue in [names::state(queue.as_str())?, queue] {
            remove(client, &queue).await?;
        }
        Ok(true)
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let client = self.client();
        client.check_open()?;
        let queue = names::queue(&client.config, stream, group)?;
        if !client.is_made(&queue).await? {
            return Err(Error::new(ErrorKind::NotFound, "there is no such group"));
        }
        if let Some(known) = client.readers.find(stream, group)
            && let Some(moved) = known.remove(consumer)
        {
            self.forget_log_members(stream, group);
            known.write_down_soon();
            return Ok(moved);
        }
        let reported = report::read(client, &queue).await?.unwrap_or_default();
        if reported
            .members()
            .iter()
            .any(|member| member.consumer == *consumer)
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a member of another process can't be removed on RabbitMQ; it goes when its process ends",
            ));
        }
        Ok(0)
    }
}

/// A group, where its lag is what was passed over only, and the first offset that it never looked at.
struct Seen {
    info: GroupInfo,
    next: u64,
}

/// What is known of a group; `None` where there is none.
async fn see(client: &Arc<Client>, stream: &StreamName, group: GroupName) -> Result<Option<Seen>> {
    let queue = names::queue(&client.config, stream, &group)?;
    if let Some(known) = client.readers.find(stream, &group)
        && let Some(seen) = known.see()
    {
        return Ok(Some(seen));
    }
    if !client.is_made(&queue).await? {
        return Ok(None);
    }
    let reported = report::read(client, &queue).await?.unwrap_or_default();
    let info = GroupInfo {
        group,
        members: reported.members(),
        pending: reported.pending,
        lag: reported.parked,
        oldest_pending: None,
    };
    let next = reported.next;
    Ok(Some(Seen { info, next }))
}

impl Group {
    /// What is known of it here, where it is read here.
    fn see(&self) -> Option<Seen> {
        let (now, mut state) = (self.now(), self.state());
        let members = state.members();
        let session = state.live()?;
        let window = &session.window;
        let info = GroupInfo {
            group: self.group.clone(),
            members,
            pending: window.pending(),
            lag: window.parked(),
            oldest_pending: window.oldest().map(|oldest| now.since(oldest)),
        };
        let next = window.next();
        Some(Seen { info, next })
    }

    /// Makes it, unless it is there. Answers whether it was not.
    pub(super) async fn make(&self, client: &Client) -> Result<bool> {
        let _turn = self.turn.lock().await;
        client.make_group(self).await
    }
}

async fn remove(client: &Client, queue: &ShortString) -> Result<()> {
    client.known.forget_queue(queue.as_str());
    let channel = client.asking().await?;
    let removed = channel
        .queue_delete(queue.clone(), QueueDeleteOptions::default())
        .await;
    match removed.map_err(|error| from_lapin(&error)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
