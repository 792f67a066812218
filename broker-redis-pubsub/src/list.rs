//! Mode `list`: a position per group, moved in the step that reads.

use std::sync::Arc;

use broker_core::base::Membership;
use broker_core::{Receipt, Result, StartPosition};
use tokio::sync::Mutex;

use crate::client::SharedClient;
use crate::config::{Mode, RedisPubsubConfig, WireFormat};
use crate::keys::Keys;
use crate::place::{self, Place};
use crate::reader::{Look, Taken};
use crate::scripts::{self, Scripts};

/// A group of a list.
pub(crate) struct ListGroup {
    place: Place,
    protean: bool,
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
            place: Place::new(client, scripts, keys, member, config.history),
            protean: config.format == WireFormat::Protean,
            // Members of the same name in several processes must not take each other's answers.
            request: Mutex::new(fastrand::u64(..1 << 52)),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.place.keys
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
        let Place {
            client,
            scripts,
            keys,
            ..
        } = &self.place;
        let script = if self.protean {
            &scripts.list_take_protean
        } else {
            &scripts.list_take
        };
        let group = self.place.group();
        let mut call = script.prepare();
        call.key(&keys.list)
            .key(&keys.meta)
            .key(&keys.groups)
            .key(&keys.seen);
        if self.protean {
            call.key(keys.protean_position(group));
        }
        call.arg(group)
            .arg(self.place.member.consumer.as_str())
            .arg(max)
            .arg(self.place.history)
            .arg(request);
        let Some(mut parts) = place::parts(client.run(&call).await?, "the script that reads a list")? else {
            return Ok(None);
        };
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
        self.place.moved(first + taken.len() as u64, lost);
        Ok(Some(Look { taken, due: None }))
    }

    /// Makes the group if it is not there; answers whether it was made.
    pub(crate) async fn make(&self, start: &StartPosition) -> Result<bool> {
        self.make_at(place::word(start)?).await
    }

    async fn make_at(&self, start: &str) -> Result<bool> {
        let Place {
            client,
            scripts,
            keys,
            ..
        } = &self.place;
        let mut call = scripts.list_make.prepare();
        call.key(&keys.list).key(&keys.meta).key(&keys.groups);
        if self.protean {
            call.key(keys.protean_position(self.place.group()));
        }
        call.arg(self.place.group()).arg(start);
        scripts::register(client, Mode::List, &self.place.member.stream).await?;
        client.run(&call).await
    }

    async fn make_again(&self) -> Result<()> {
        let next = self.place.next();
        if self.make_at(&next.to_string()).await? {
            self.place.made_again(next);
        }
        Ok(())
    }
}
