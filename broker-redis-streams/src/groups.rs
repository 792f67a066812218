//! Groups as an operator sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::base::Groups;
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupInfo, GroupName, MemberInfo, Result, StartPosition, StreamName,
    async_trait,
};
use redis::{Pipeline, Value};

use crate::broker::RedisStreams;
use crate::client::Client;
use crate::group::Group;
use crate::keys::PARKED;
use crate::time::group_start;
use crate::{error, reply, scripts};

/// How many pending entries are looked at to find the one that is out longest.
const LOOKED_AT: usize = 1000;

#[async_trait]
impl Groups for RedisStreams {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        let topic = self.client().topic(stream).await?;
        let mut created = false;
        for partition in topic.iter() {
            let group = self.client().group(partition, group);
            let keys = &group.keys;
            let mut call = scripts::JOIN.call(&[&keys.entries, &keys.state, &keys.leases, &partition.groups]);
            call.arg(group.name.as_str()).arg(group_start(start)?);
            let answer = self.client().run(&scripts::JOIN, &call).await?;
            let made = reply::items(answer, "join")?.first().and_then(reply::count);
            created |= made == Some(1);
        }
        Ok(created)
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let client = self.client();
        let mut infos: BTreeMap<GroupName, GroupInfo> = BTreeMap::new();
        for partition in client.topic(stream).await?.iter() {
            let call = scripts::GROUPS.call(&[&partition.entries]);
            let groups = match client.run(&scripts::GROUPS, &call).await {
                Err(missing) if error::is_missing_group(&missing) => continue,
                answer => reply::items(answer?, "XINFO GROUPS")?,
            };
            for group in &groups {
                let name = reply::field(group, "name").and_then(reply::text);
                // A group of another program whose name is none of ours can't be joined by us either.
                let Some(Ok(name)) = name.map(GroupName::new) else {
                    continue;
                };
                let info = match describe(client, &client.group(partition, &name), group).await {
                    // It was removed since the list of names was read.
                    Err(missing) if error::is_missing_group(&missing) => continue,
                    info => info?,
                };
                match infos.get_mut(&name) {
                    Some(sum) => add(sum, info),
                    None => drop(infos.insert(name, info)),
                }
            }
        }
        Ok(infos.into_values().collect())
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        let topic = self.client().topic(stream).await?;
        let groups: Vec<_> = topic
            .iter()
            .map(|partition| self.client().group(partition, group))
            .collect();
        let mut keys = Vec::with_capacity(5 * groups.len());
        for group in &groups {
            let keys_of = &group.keys;
            keys.extend([
                keys_of.entries.as_str(),
                keys_of.state.as_str(),
                keys_of.due.as_str(),
                keys_of.leases.as_str(),
                keys_of.lanes.as_str(),
            ]);
        }
        let mut call = scripts::REMOVE_GROUP.call(&keys);
        call.arg(group.as_str()).arg(u8::from(force));
        let answer = self.client().run(&scripts::REMOVE_GROUP, &call).await?;
        match reply::number(&answer) {
            Some(-1) => Err(Error::new(
                ErrorKind::Throttled,
                "the group has deliveries that are not settled; settle them, or remove it by force",
            )),
            Some(removed) => Ok(removed == 1),
            None => Err(error::odd_reply("remove group")),
        }
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let mut moved = 0;
        for partition in self.client().topic(stream).await?.iter() {
            let group = self.client().group(partition, group);
            let keys = &group.keys;
            let mut call = scripts::REMOVE_CONSUMER.call(&[
                &keys.entries,
                &keys.state,
                &keys.due,
                &keys.leases,
                &keys.members,
            ]);
            call.arg(group.name.as_str()).arg(consumer.as_str());
            let answer = self.client().run(&scripts::REMOVE_CONSUMER, &call).await?;
            self.client().wake(&group).await;
            moved += reply::count(&answer)
                .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such group"))?;
        }
        Ok(moved)
    }
}

/// Adds what a further partition tells about the group.
fn add(sum: &mut GroupInfo, other: GroupInfo) {
    sum.pending += other.pending;
    sum.lag += other.lag;
    sum.oldest_pending = sum.oldest_pending.max(other.oldest_pending);
    for member in other.members {
        match sum
            .members
            .iter_mut()
            .find(|known| known.consumer == member.consumer)
        {
            Some(known) => {
                known.pending += member.pending;
                known.idle = known.idle.min(member.idle);
            }
            None => sum.members.push(member),
        }
    }
}

impl Client {
    /// Messages that were never handed to the group; all of them where it is not there.
    pub(crate) async fn lag(&self, group: &Group) -> Result<u64> {
        match self.info(group).await {
            Ok(info) => Ok(lag_of(&info)),
            Err(missing) if error::is_missing_group(&missing) => {
                let mut ask = redis::cmd("XLEN");
                ask.arg(&group.keys.entries);
                reply::expect_count(self.command(&ask).await?, "XLEN")
            }
            Err(error) => Err(error),
        }
    }

    /// The newest entry that the group was handed, as text.
    pub(crate) async fn delivered(&self, group: &Group) -> Result<String> {
        let info = self.info(group).await?;
        let delivered = reply::field(&info, "last-delivered-id").and_then(reply::text);
        delivered
            .map(str::to_owned)
            .ok_or_else(|| error::odd_reply("XINFO GROUPS"))
    }

    async fn info(&self, group: &Group) -> Result<Value> {
        let call = scripts::GROUPS.call(&[&group.keys.entries]);
        let groups = reply::items(self.run(&scripts::GROUPS, &call).await?, "XINFO GROUPS")?;
        let named =
            |info: &Value| reply::field(info, "name").and_then(reply::text) == Some(group.name.as_str());
        groups
            .into_iter()
            .find(named)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such group"))
    }
}

async fn describe(client: &Client, group: &Group, info: &Value) -> Result<GroupInfo> {
    let keys = &group.keys;
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline
        .cmd("XINFO")
        .arg("CONSUMERS")
        .arg(&keys.entries)
        .arg(group.name.as_str());
    pipeline
        .cmd("XPENDING")
        .arg(&keys.entries)
        .arg(group.name.as_str())
        .arg("-")
        .arg("+")
        .arg(LOOKED_AT);
    let mut answers = client.pipeline(&pipeline).await?.into_iter();
    let mut next = |command| answers.next().ok_or_else(|| error::odd_reply(command));
    let consumers = reply::items(next("XINFO CONSUMERS")?, "XINFO CONSUMERS")?;
    let pending = reply::items(next("XPENDING")?, "XPENDING")?;

    let members = consumers.iter().filter_map(|member| {
        let name = reply::field(member, "name").and_then(reply::text)?;
        (name != PARKED).then_some(())?;
        Some(MemberInfo {
            consumer: ConsumerName::new(name).ok()?,
            pending: reply::count_field(member, "pending")?,
            idle: Duration::from_millis(reply::count_field(member, "idle").unwrap_or(0)),
        })
    });
    let longest = pending.iter().filter_map(|one| match one {
        Value::Array(parts) => parts.get(2).and_then(reply::count),
        _ => None,
    });
    let lag = lag_of(info);
    let mut members: Vec<_> = members.collect();
    members.sort_by(|one, other| one.consumer.cmp(&other.consumer));
    Ok(GroupInfo {
        group: group.name.clone(),
        members,
        pending: reply::count_field(info, "pending").unwrap_or(0),
        lag,
        oldest_pending: longest.max().map(Duration::from_millis),
    })
}

/// The lag, as it was counted or else as the server tells it.
fn lag_of(info: &Value) -> u64 {
    let counted = reply::count_field(info, "counted");
    counted.or_else(|| reply::count_field(info, "lag")).unwrap_or(0)
}
