//! A broker's own members of groups, for what is read and settled by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::by_name::ReadByName;
use super::consumer::Consumer;
use super::shared::Shared;
use crate::base::{Membership, ReadRequest};
use crate::values::{GroupName, Ordering, Result, StartPosition, StreamName};

/// Stream and group.
pub(super) type Names = (StreamName, GroupName);

/// A broker's own members of groups by name.
///
/// The handles of a broker keep them, not what they share: a consumer holds on to that, and the two would keep each
/// other alive for ever.
pub(super) struct Members {
    joined: Mutex<HashMap<Names, Arc<Consumer>>>,
    /// One task joins at a time: a second member of the same name would only be thrown away.
    joining: Semaphore,
}

impl Members {
    pub(super) fn new() -> Self {
        Self {
            joined: Mutex::default(),
            joining: Semaphore::new(1),
        }
    }

    /// The member of a group, which is joined first if need be.
    pub(super) async fn member(&self, shared: &Arc<Shared>, names: Names) -> Result<Arc<Consumer>> {
        if let Some(consumer) = Shared::resolved(&self.joined, &names) {
            return Ok(consumer);
        }
        let _turn = self.joining.acquire().await;
        if let Some(consumer) = Shared::resolved(&self.joined, &names) {
            return Ok(consumer);
        }
        let consumer = shared.join(membership(shared, &names), None).await?;
        Ok(Shared::keep(&self.joined, names, consumer))
    }

    /// Who settles by receipt: the member where it has joined, and else one that joins nothing, since settling must
    /// not make a group.
    pub(super) fn settler(&self, shared: &Arc<Shared>, names: &Names) -> Arc<Consumer> {
        Shared::resolved(&self.joined, names).unwrap_or_else(|| {
            let member = membership(shared, names);
            let endpoint = Arc::new(ReadByName {
                base: Arc::clone(&shared.base),
                member: member.clone(),
            });
            Arc::new(Consumer::new(Arc::clone(shared), member, endpoint))
        })
    }

    /// Forgets what a group's name resolved to.
    pub(super) fn forget(&self, names: &Names) {
        self.joined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(names);
    }

    /// Forgets the groups of a stream.
    pub(super) fn forget_stream(&self, stream: &StreamName) {
        self.joined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(name, _), _| name != stream);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn membership(shared: &Shared, names: &Names) -> Membership {
    Membership {
        stream: names.0.clone(),
        group: names.1.clone(),
        consumer: shared.consumer.clone(),
        start: StartPosition::Earliest,
        ordering: Ordering::Publish,
        lease: shared.config.message_timeout,
    }
}

impl Shared {
    /// Resolves a member of a group; `max_attempts` takes the place of the broker's setting.
    pub(super) async fn join(
        self: &Arc<Self>,
        member: Membership,
        max_attempts: Option<u32>,
    ) -> Result<Arc<Consumer>> {
        let endpoint = match self.base.families().endpoints {
            Some(endpoints) => self.call("subscribe", || endpoints.reader(&member)).await?,
            None => {
                let nothing = ReadRequest {
                    member: &member,
                    max: 0,
                    wait: Duration::ZERO,
                };
                self.call("subscribe", || self.base.read(nothing)).await?;
                Arc::new(ReadByName {
                    base: Arc::clone(&self.base),
                    member: member.clone(),
                })
            }
        };
        let consumer = Consumer::new(Arc::clone(self), member, endpoint).with_max_attempts(max_attempts);
        let consumer = Arc::new(consumer);
        self.consumers.add(&consumer);
        Ok(consumer)
    }
}
