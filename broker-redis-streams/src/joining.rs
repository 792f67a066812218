//! Joining a group, and making one again that was lost.

use std::sync::atomic::Ordering::Relaxed;

use broker_core::{BrokerEvent, Result};

use crate::reader::Hands;
use crate::time::{EntryId, group_start, millis};
use crate::{error, reply, scripts};

/// What came of joining a group.
pub(crate) struct Joined {
    made: bool,
    /// Where the group began; unset where that was the end of the stream.
    start: Option<EntryId>,
}

impl Hands {
    /// Makes the group if it is not there, and puts the lease down. A group that was lost goes on where it is known to
    /// have been, as is written down at the server or as this member `knows`.
    pub(crate) async fn join(&self, start: &str, knows: Option<EntryId>) -> Result<Joined> {
        let keys = &self.group.keys;
        let mut call = scripts::JOIN.call(&[&keys.entries, &keys.state, &keys.leases, &self.groups]);
        call.arg(self.group.name.as_str())
            .arg(start)
            .arg(self.member.consumer.as_str())
            .arg(millis(self.member.lease).max(1))
            .arg(knows.map(|id| id.to_string()).unwrap_or_default());
        let answer = reply::items(self.client.run(&scripts::JOIN, &call).await?, "join")?;
        let mut numbers = answer.iter().map(reply::count);
        let mut next = || numbers.next().flatten().ok_or_else(|| error::odd_reply("join"));
        let (made, epoch, token) = (next()?, next()?, next()?);
        let start = answer.get(3).and_then(reply::text);
        self.group.learn_token(u32::try_from(token).unwrap_or(u32::MAX));
        self.group.learn_epoch(u32::try_from(epoch).unwrap_or(u32::MAX));
        Ok(Joined {
            made: made == 1,
            start: start.and_then(|start| EntryId::parse(start.as_bytes())),
        })
    }

    /// Makes the group again where it was: what is not known to be settled comes again.
    pub(crate) async fn recreate(&self) -> Result<()> {
        let unsettled = self.handed_out().oldest().map(EntryId::before);
        let knows = unsettled.or(self.group.last_seen()).unwrap_or_default();
        let joined = self.join(&group_start(&self.member.start)?, Some(knows)).await?;
        if joined.made {
            self.client.recreated.fetch_add(1, Relaxed);
            tracing::warn!(stream = %self.group.stream, group = %self.group.name, start = ?joined.start, "the group was gone and was made again");
            self.client.context.events.send(BrokerEvent::GroupRecreated {
                stream: self.group.stream.clone(),
                group: self.group.name.clone(),
                position: joined.start.map(|id| id.to_message_id(self.group.partition)),
            });
        }
        Ok(())
    }
}
