//! The names of a stream's groups: a log of its own, as the protocol has no list of queues.

use std::collections::BTreeSet;

use broker_core::{ErrorKind, GroupName, Result, StreamName};

use super::attached::Place;
use super::writing::outgoing;
use crate::client::Client;
use crate::names;

/// How many names the server sends ahead.
const STRIDE: u16 = 1024;

/// Adds a name, which is stored when this returns. It stays there when its group goes.
pub(super) async fn add(client: &Client, stream: &StreamName, group: &GroupName) -> Result<()> {
    let queue = names::groups(stream)?;
    client.log_beside(&queue).await?;
    client
        .put(vec![outgoing(client, queue, group.to_string())?])
        .await
}

/// All names that were ever added.
pub(super) async fn read(client: &Client, stream: &StreamName) -> Result<BTreeSet<GroupName>> {
    let mut all = BTreeSet::new();
    let queue = names::groups(stream)?;
    let mut reader = match client.attach(&queue, Place::First, STRIDE).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(all),
        reader => reader?,
    };
    loop {
        let came = reader.next().await?;
        if came.is_empty() {
            return Ok(all);
        }
        for (_, delivery) in came {
            let name = String::from_utf8_lossy(&delivery.data);
            all.extend(GroupName::new(name.as_ref()));
        }
    }
}
