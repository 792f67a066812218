//! Mode `list`: a position per group, moved in the step that reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::base::Membership;
use broker_core::{BrokerEvent, Capabilities, Error, Receipt, Result, StartPosition};
use redis::Value;
use tokio::sync::Mutex;

use crate::client::SharedClient;
use crate::config::{RedisPubsubConfig, WireFormat};
use crate::error;
use crate::keys::Keys;
use crate::reader::{Look, Taken};
use crate::scripts::{self, Scripts};

/// A group of a list.
pub(crate) struct ListGroup {
    client: SharedClient,
    scripts: Arc<Scripts>,
    keys: Keys,
    member: Membership,
    history: u64,
    protean: bool,
    /// The next position, as far as we know; where the group goes on if somebody removes it.
    next: AtomicU64,
    /// The number of the next request. Held while it is under way: one that is sent again has its number.
    request: Mutex<u64>,
}

impl ListGroup {
    pub(crate) fn new(
        client: SharedClient,
        scripts: Arc<Scripts>,
        keys: Keys,
        member: Membership,
        config: &RedisPubsubConfig,
    ) -> Self {
        Self {
            client,
            scripts,
            keys,
            member,
            history: config.history,
            protean: config.format == WireFormat::Protean,
            next: AtomicU64::new(0),
            // Members of the same name in several processes must not take each other's answers.
            request: Mutex::new(fastrand::u64(..1 << 52)),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Hands out what is there, and moves the group's position behind it.
    ///
    /// After a lost answer the next call gets what it held.
    pub(crate) async fn take(&self, max: usize) -> Result<Look> {
        let mut request = self.request.lock().await;
        let look = match self.try_take(max, *request).await? {
            Some(look) => look,
            None => {
                self.make_again().await?;
                // Gone again at once: somebody removes it as fast as we make it, and nothing is there for us.
                self.try_take(max, *request).await?.unwrap_or_default()
            }
        };
        *request += 1;
        Ok(look)
    }

    /// `None` where there is no such group.
    async fn try_take(&self, max: usize, request: u64) -> Result<Option<Look>> {
        let script = if self.protean {
            &self.scripts.list_take_protean
        } else {
            &self.scripts.list_take
        };
        let group = self.member.group.as_str();
        let mut call = script.prepare();
        call.key(&self.keys.list)
            .key(&self.keys.meta)
            .key(&self.keys.groups)
            .key(&self.keys.seen);
        if self.protean {
            call.key(self.keys.protean_position(group));
        }
        call.arg(group)
            .arg(self.member.consumer.as_str())
            .arg(max)
            .arg(self.history)
            .arg(request);
        let answer: Value = self.client.run(&call).await?;
        let Value::Array(parts) = answer else {
            return match answer {
                Value::Nil => Ok(None),
                _ => Err(error::odd_reply("the script that reads a list")),
            };
        };
        let mut parts = parts.into_iter();
        let first = scripts::number(parts.next())?;
        let lost = scripts::number(parts.next())?;
        let mut taken = Vec::with_capacity(parts.len());
        for (sequence, body) in (first..).zip(parts) {
            taken.push(Taken {
                receipt: Receipt {
                    sequence,
                    attempt: 1,
                    ..Receipt::default()
                },
                body: scripts::bytes(body)?,
            });
        }
        self.next.store(first + taken.len() as u64, Ordering::Relaxed);
        if lost > 0 {
            self.client.tell(BrokerEvent::MessagesLost {
                stream: self.member.stream.clone(),
                group: self.member.group.clone(),
                count: lost,
            });
        }
        Ok(Some(Look { taken, due: None }))
    }

    /// Makes the group if it is not there; answers whether it was made.
    pub(crate) async fn make(&self, start: &StartPosition) -> Result<bool> {
        let latest = match start {
            StartPosition::Earliest => "earliest".to_owned(),
            StartPosition::Latest => "latest".to_owned(),
            StartPosition::Id(_) | StartPosition::Time(_) => {
                return Err(Error::unsupported(Capabilities::REPLAY));
            }
        };
        self.make_at(&latest).await
    }

    async fn make_at(&self, start: &str) -> Result<bool> {
        let group = self.member.group.as_str();
        let mut call = self.scripts.list_make.prepare();
        call.key(&self.keys.list)
            .key(&self.keys.meta)
            .key(&self.keys.groups);
        if self.protean {
            call.key(self.keys.protean_position(group));
        }
        call.arg(group).arg(start);
        scripts::register(&self.client, crate::config::Mode::List, &self.member.stream).await?;
        self.client.run(&call).await
    }

    async fn make_again(&self) -> Result<()> {
        let next = self.next.load(Ordering::Relaxed);
        if self.make_at(&next.to_string()).await? {
            self.client.tell(BrokerEvent::GroupRecreated {
                stream: self.member.stream.clone(),
                group: self.member.group.clone(),
                position: Some(broker_core::MessageId::Offset {
                    partition: 0,
                    offset: next,
                }),
            });
        }
        Ok(())
    }
}
