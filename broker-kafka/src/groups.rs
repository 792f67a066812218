//! Groups as an operator sees them.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::Groups;
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupInfo, GroupName, MemberInfo, Result, StartPosition, StreamName,
    async_trait,
};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::broker::Kafka;
use crate::client::{Client, Quiet, blocking};
use crate::orders::Order;
use crate::places::{Places, is_retry};
use crate::topic::Topic;
use crate::{error, names, offsets, sessions};

/// Where a group is in one partition.
pub(crate) struct Position {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    /// Handed out and not settled.
    pub(crate) pending: u64,
    /// Never handed out.
    pub(crate) lag: u64,
    /// Whether the group has a position there at all.
    pub(crate) exists: bool,
}

impl Position {
    /// What waits in a retry topic was handed out before.
    fn in_retry_topic(mut self) -> Self {
        self.pending += std::mem::take(&mut self.lag);
        self
    }
}

#[async_trait]
impl Groups for Kafka {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        if client.present_session(stream, group).await.is_some() {
            return Ok(false);
        }
        let start = start.clone();
        asking(client, stream, group, move |consumer, within| {
            offsets::make_group(consumer, &Places::of(&topic), &start, within)
        })
        .await
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let client = self.client();
        let Some(topic) = client.find_topic(stream).await? else {
            return Ok(Vec::new());
        };
        let mut infos = Vec::new();
        for group in names(client, stream).await? {
            commit(client, stream, &group).await?;
            let positions = positions(client, stream, &group, &topic).await?;
            if !positions.iter().any(|position| position.exists) {
                continue;
            }
            let mut members: Vec<MemberInfo> = Vec::new();
            let mut oldest = None;
            if let Some(session) = client.present_session(stream, &group).await {
                for (consumer, pending, idle) in session.members() {
                    members.push(MemberInfo {
                        consumer,
                        pending,
                        idle,
                    });
                }
                oldest = session.oldest();
            }
            for (member, _) in owners(client, stream, &group, &topic).await? {
                let known = members.iter().any(|known| known.consumer.as_str() == member);
                let own = member == client.context.consumer.as_str() && !members.is_empty();
                if let (false, Ok(consumer)) = (known || own, ConsumerName::new(&member)) {
                    members.push(MemberInfo {
                        consumer,
                        pending: 0,
                        idle: Duration::ZERO,
                    });
                }
            }
            members.sort_by(|one, other| one.consumer.cmp(&other.consumer));
            infos.push(GroupInfo {
                group,
                members,
                pending: positions.iter().map(|position| position.pending).sum(),
                lag: positions.iter().map(|position| position.lag).sum(),
                oldest_pending: oldest,
            });
        }
        infos.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(infos)
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        let client = self.client();
        let Some(topic) = client.find_topic(stream).await? else {
            return Ok(false);
        };
        commit(client, stream, group).await?;
        let positions = positions(client, stream, group, &topic).await?;
        if !positions.iter().any(|position| position.exists) {
            return Ok(false);
        }
        if !force && positions.iter().any(|position| position.pending > 0) {
            return Err(Error::new(
                ErrorKind::Throttled,
                "the group has deliveries that are not settled; settle them, or remove it by force",
            ));
        }
        if let Some(session) = client.present_session(stream, group).await {
            let _ = sessions::stop(&session).await;
        }
        let admin = client.admin().await?;
        let id = names::group_id(stream, group);
        let options = AdminOptions::new().request_timeout(Some(client.patience()));
        let answer = admin.delete_groups(&[&id], &options).await;
        match answer
            .map_err(|error| error::from_kafka(&error))?
            .into_iter()
            .next()
        {
            Some(Ok(_)) => {
                client.remove_retry_topic(stream, group).await?;
                Ok(true)
            }
            Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) => Ok(false),
            Some(Err((_, code))) => Err(error::from_code(code)),
            None => Err(error::odd("the answer to a request for removing a group")),
        }
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        if let Some(session) = client.present_session(stream, group).await
            && let Some(moved) = session.remove(consumer)
        {
            return Ok(moved);
        }
        let owners = owners(client, stream, group, &topic).await?;
        if owners.iter().any(|(name, _)| name == consumer.as_str()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a member of another process can't be removed on Kafka; it goes when its process or its session ends",
            ));
        }
        let positions = positions(client, stream, group, &topic).await?;
        match positions.iter().any(|position| position.exists) {
            true => Ok(0),
            false => Err(Error::new(ErrorKind::NotFound, "there is no such group")),
        }
    }
}

/// The stream's groups.
pub(crate) async fn names(client: &Arc<Client>, stream: &StreamName) -> Result<Vec<GroupName>> {
    let stream = stream.clone();
    let names = client.ask(move |asker, within| {
        let list = asker.fetch_group_list(None, within)?;
        Ok(list
            .groups()
            .iter()
            .filter_map(|group| names::group_of(group.name(), &stream))
            .collect())
    });
    names.await
}

/// Asks as a client of the group, which does not join it.
pub(crate) async fn asking<T: Send + 'static>(
    client: &Arc<Client>,
    stream: &StreamName,
    group: &GroupName,
    question: impl FnOnce(&BaseConsumer<Quiet>, Duration) -> Result<T> + Send + 'static,
) -> Result<T> {
    client.check_open()?;
    let mut config = client.native.consumer.clone();
    config.set("group.id", names::group_id(stream, group));
    let within = client.patience();
    blocking(move || {
        let consumer: BaseConsumer<Quiet> = config
            .create_with_context(Quiet)
            .map_err(|error| error::from_kafka(&error))?;
        question(&consumer, within)
    })
    .await
}

/// Commits what this process has settled, so that what is asked next is true.
pub(crate) async fn commit(client: &Arc<Client>, stream: &StreamName, group: &GroupName) -> Result<()> {
    if let Some(session) = client.present_session(stream, group).await {
        let (answer, wait) = oneshot::channel();
        session.order(Order::Commit(answer));
        if let Ok(Err(error)) = wait.await {
            tracing::debug!(%error, "a commit before a question failed");
        }
    }
    Ok(())
}

/// Where the group is, by its last commits.
pub(crate) async fn positions(
    client: &Arc<Client>,
    stream: &StreamName,
    group: &GroupName,
    topic: &Arc<Topic>,
) -> Result<Vec<Position>> {
    let places = client.places(stream, group, topic).await?;
    asking(client, stream, group, move |consumer, within| {
        let mut positions = Vec::new();
        for found in offsets::committed(consumer, &places, &places.numbers(), within)? {
            let (topic, partition) = places.find(found.number);
            let (low, high) = offsets::watermarks(consumer, topic, partition, within)?;
            let progress = found.progress.unwrap_or_default();
            let seen = (found.start + progress.span()).max(low);
            let position = Position {
                number: found.number,
                generation: progress.generation,
                pending: progress.pending(),
                lag: high.saturating_sub(seen) + (progress.unsettled() - progress.pending()),
                exists: found.exists,
            };
            positions.push(match is_retry(found.number) {
                true => position.in_retry_topic(),
                false => position,
            });
        }
        Ok(positions)
    })
    .await
}

/// The members by name, with the partitions that each owns.
pub(crate) async fn owners(
    client: &Arc<Client>,
    stream: &StreamName,
    group: &GroupName,
    topic: &Arc<Topic>,
) -> Result<Vec<(String, Vec<u32>)>> {
    let (id, topic) = (names::group_id(stream, group), Arc::clone(topic));
    let owners = client.ask(move |asker, within| {
        let list = asker.fetch_group_list(Some(&id), within)?;
        let members = list.groups().iter().flat_map(|group| group.members());
        let owned = members.map(|member| {
            let owned = member.assignment().and_then(|bytes| assigned(bytes, &topic.name));
            (member.client_id().to_owned(), owned.unwrap_or_default())
        });
        Ok(owned.collect())
    });
    owners.await
}

/// Whether a commit was refused because the group has members, of which the caller is none.
pub(crate) fn is_elsewhere(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}

/// The partitions of `topic` in a member's assignment, which the consumer protocol writes.
fn assigned(mut bytes: &[u8], topic: &str) -> Option<Vec<u32>> {
    let bytes = &mut bytes;
    let _version = number(bytes, 2)?;
    let mut owned = Vec::new();
    for _ in 0..number(bytes, 4)? {
        let len = usize::try_from(number(bytes, 2)?).ok()?;
        let name = bytes.split_off(..len)?;
        for _ in 0..number(bytes, 4)? {
            let partition = number(bytes, 4)?;
            if name == topic.as_bytes() {
                owned.push(partition);
            }
        }
    }
    Some(owned)
}

/// Takes a big-endian number of `len` bytes.
fn number(bytes: &mut &[u8], len: usize) -> Option<u32> {
    let taken = bytes.split_off(..len)?;
    Some(
        taken
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}
