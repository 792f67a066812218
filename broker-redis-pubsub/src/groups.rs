//! Groups as an operator sees them.

use std::collections::HashMap;
use std::time::Duration;

use broker_core::base::Groups;
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupInfo, GroupName, MemberInfo, Result, StartPosition, StreamName,
    async_trait,
};
use redis::Value;

use crate::broker::RedisPubsub;
use crate::config::{Mode, WireFormat};
use crate::keys::Keys;

#[async_trait]
impl Groups for RedisPubsub {
    async fn create(&self, stream: &StreamName, group: &GroupName, start: &StartPosition) -> Result<bool> {
        self.make_group(&self.member(stream, group, start)).await
    }

    async fn list(&self, stream: &StreamName) -> Result<Vec<GroupInfo>> {
        let keys = self.keys(stream);
        let mut pipe = redis::pipe();
        pipe.cmd("TIME");
        pipe.cmd("LLEN").arg(&keys.list);
        pipe.cmd("LLEN").arg(&keys.log);
        pipe.cmd("HGET").arg(&keys.meta).arg("base");
        pipe.cmd("HGETALL").arg(&keys.groups);
        pipe.cmd("HGETALL").arg(&keys.seen);
        let (time, list, log, base, groups, seen): (
            (u64, u64),
            u64,
            u64,
            Option<u64>,
            HashMap<String, u64>,
            HashMap<String, u64>,
        ) = self.client().ask_all(&pipe).await?;
        let now = time.0 * 1_000 + time.1 / 1_000;
        let tail = base.unwrap_or(0) + list + log;
        let mut infos = Vec::with_capacity(groups.len());
        for (name, position) in groups {
            let group = GroupName::new(name)?;
            let members = seen.iter().filter_map(|(field, at)| {
                let consumer = field.strip_prefix(group.as_str())?.strip_prefix(' ')?;
                Some((ConsumerName::new(consumer).ok()?, *at))
            });
            let look = Look {
                keys: &keys,
                now,
                lag: tail.saturating_sub(position),
            };
            infos.push(self.look_at(group.clone(), members.collect(), &look).await?);
        }
        infos.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(infos)
    }

    async fn delete(&self, stream: &StreamName, group: &GroupName, force: bool) -> Result<bool> {
        let keys = self.keys(stream);
        let name = group.as_str();
        let mut call = self.scripts().remove_group.prepare();
        call.key(&keys.meta)
            .key(&keys.groups)
            .key(&keys.seen)
            .key(keys.pending(name))
            .key(keys.again(name))
            .key(keys.state(name));
        call.arg(name).arg(u8::from(force));
        let removed: i64 = self.client().run(&call).await?;
        if removed < 0 {
            return Err(Error::new(
                ErrorKind::Throttled,
                "the group has unsettled deliveries; settle them, or delete it by force",
            ));
        }
        if removed > 0 && self.is_protean() {
            let mut command = redis::cmd("DEL");
            command.arg(keys.protean_position(name));
            self.client().ask::<()>(&command).await?;
        }
        Ok(removed > 0)
    }

    async fn remove_consumer(
        &self,
        stream: &StreamName,
        group: &GroupName,
        consumer: &ConsumerName,
    ) -> Result<u64> {
        let keys = self.keys(stream);
        let name = group.as_str();
        let mut call = self.scripts().remove_consumer.prepare();
        call.key(&keys.seen)
            .key(keys.pending(name))
            .key(keys.again(name))
            .key(keys.state(name))
            .key(&keys.meta);
        call.arg(name).arg(consumer.as_str()).arg(&keys.wake);
        self.client().run(&call).await
    }
}

/// What is the same for each group of one look.
struct Look<'a> {
    keys: &'a Keys,
    now: u64,
    lag: u64,
}

impl RedisPubsub {
    async fn look_at(
        &self,
        group: GroupName,
        members: Vec<(ConsumerName, u64)>,
        look: &Look<'_>,
    ) -> Result<GroupInfo> {
        let name = group.as_str();
        let mut lag = look.lag;
        if self.is_protean() {
            let mut command = redis::cmd("GET");
            command.arg(look.keys.protean_position(name));
            let mut length = redis::cmd("LLEN");
            length.arg(&look.keys.list);
            let position: Option<u64> = self.client().ask(&command).await?;
            let length: u64 = self.client().ask(&length).await?;
            lag = length.saturating_sub(position.unwrap_or(0));
        }
        let (mut states, mut oldest) = (HashMap::<String, String>::new(), None);
        if self.mode() == Mode::Queue {
            let mut pipe = redis::pipe();
            pipe.cmd("HGETALL").arg(look.keys.state(name));
            pipe.cmd("ZRANGE")
                .arg(look.keys.pending(name))
                .arg(0)
                .arg(0)
                .arg("WITHSCORES");
            let (found, first): (HashMap<String, String>, Value) = self.client().ask_all(&pipe).await?;
            states = found;
            oldest = redis::from_redis_value::<Vec<(String, f64)>>(first)
                .unwrap_or_default()
                .first()
                .map(|(_, ends)| self.age_of(*ends, look.now));
        }
        let holds = |consumer: &ConsumerName| {
            let held = states.values().filter(|state| {
                let mut words = state.splitn(4, ' ').skip(2);
                words.next() == Some("d") && words.next() == Some(consumer.as_str())
            });
            held.count() as u64
        };
        let mut members: Vec<_> = members
            .into_iter()
            .map(|(consumer, at)| MemberInfo {
                pending: holds(&consumer),
                idle: Duration::from_millis(look.now.saturating_sub(at)),
                consumer,
            })
            .collect();
        members.sort_by(|a, b| a.consumer.cmp(&b.consumer));
        Ok(GroupInfo {
            group,
            members,
            pending: states.len() as u64,
            lag,
            oldest_pending: oldest,
        })
    }

    /// How long a delivery has been out whose lease ends at `ends`; exact where all have this broker's lease.
    fn age_of(&self, ends: f64, now: u64) -> Duration {
        let left =
            Duration::try_from_secs_f64((ends / 1_000.0 - Duration::from_millis(now).as_secs_f64()).max(0.0));
        self.lease().saturating_sub(left.unwrap_or_default())
    }

    pub(crate) fn is_protean(&self) -> bool {
        self.mode() == Mode::List && self.config().format == WireFormat::Protean
    }
}
