//! Where a group is at the server, in either mode that has groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::base::Membership;
use broker_core::{BrokerEvent, Capabilities, Error, MessageId, Result, StartPosition};
use redis::Value;

use crate::client::SharedClient;
use crate::error;
use crate::keys::Keys;
use crate::scripts::Scripts;

/// Where a group is at the server, and how far it is.
pub(crate) struct Place {
    pub(crate) client: SharedClient,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) keys: Keys,
    pub(crate) member: Membership,
    /// How many messages are kept that every group has done with.
    pub(crate) history: u64,
    /// The next position, as far as we know; where the group goes on if somebody removes it.
    next: AtomicU64,
}

impl Place {
    pub(crate) fn new(
        client: SharedClient,
        scripts: Arc<Scripts>,
        keys: Keys,
        member: Membership,
        history: u64,
    ) -> Self {
        Self {
            client,
            scripts,
            keys,
            member,
            history,
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn group(&self) -> &str {
        self.member.group.as_str()
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// A read left the group at `next`, and found that so many messages were gone before it.
    pub(crate) fn moved(&self, next: u64, lost: u64) {
        self.next.store(next, Ordering::Relaxed);
        if lost > 0 {
            self.client.tell(BrokerEvent::MessagesLost {
                stream: self.member.stream.clone(),
                group: self.member.group.clone(),
                count: lost,
            });
        }
    }

    /// The group was gone, and was made again at `next`.
    pub(crate) fn made_again(&self, next: u64) {
        self.client.tell(BrokerEvent::GroupRecreated {
            stream: self.member.stream.clone(),
            group: self.member.group.clone(),
            position: Some(MessageId::Offset {
                partition: 0,
                offset: next,
            }),
        });
    }
}

/// Where a new group starts, in the scripts' word for it.
pub(crate) fn word(start: &StartPosition) -> Result<&'static str> {
    match start {
        StartPosition::Earliest => Ok("earliest"),
        StartPosition::Latest => Ok("latest"),
        StartPosition::Id(_) | StartPosition::Time(_) => Err(Error::unsupported(Capabilities::REPLAY)),
    }
}

/// What a script that reads has answered; `None` where there is no such group.
pub(crate) fn parts(answer: Value, script: &'static str) -> Result<Option<std::vec::IntoIter<Value>>> {
    match answer {
        Value::Array(parts) => Ok(Some(parts.into_iter())),
        Value::Nil => Ok(None),
        _ => Err(error::odd_reply(script)),
    }
}
