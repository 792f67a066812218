//! What others may know of a group, written beside its token: one message, of which the latest counts.
//!
//! The token is in the owner's hand, where nobody else can read it. This is as of a second ago, and never what anything
//! goes on from.

use std::time::Duration;

use broker_core::{ConsumerName, ErrorKind, MemberInfo, Result};
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::{Deserialize, Serialize};

use super::progress::Progress;
use super::writing::outgoing;
use crate::client::Client;
use crate::error::from_lapin;
use crate::names;

/// How often one is looked for that another process may be looking at.
const LOOKS: u32 = 20;

/// The wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// What others may know of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    generation: u64,
    sequence: u64,
    /// The first offset that was never looked at.
    pub(super) next: u64,
    /// Handed out and not settled.
    pub(super) pending: u64,
    /// Passed over, and never handed out.
    pub(super) parked: u64,
    /// The members, with what each has in hand.
    members: Vec<(String, u64)>,
}

impl Report {
    /// That of a group without members.
    pub(super) fn of(token: &Progress) -> Self {
        let (pending, parked) = token.unsettled();
        Self {
            generation: token.generation,
            sequence: token.sequence,
            next: token.next(),
            pending,
            parked,
            members: Vec::new(),
        }
    }

    pub(super) fn with(token: &Progress, members: &[MemberInfo]) -> Self {
        let members = members.iter();
        let members = members.map(|member| (member.consumer.to_string(), member.pending));
        Self {
            members: members.collect(),
            ..Self::of(token)
        }
    }

    /// The members, of whom it is not known when they were last seen.
    pub(super) fn members(&self) -> Vec<MemberInfo> {
        let members = self.members.iter().filter_map(|(name, pending)| {
            Some(MemberInfo {
                consumer: ConsumerName::new(name).ok()?,
                pending: *pending,
                idle: Duration::ZERO,
            })
        });
        members.collect()
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The queue of a group's reports, which is there when this returns.
pub(super) async fn queue(client: &Client, group: &ShortString) -> Result<ShortString> {
    let queue = names::state(group.as_str())?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    client.beside(&queue, arguments).await?;
    Ok(queue)
}

/// Writes a report, which is stored when this returns.
pub(super) async fn write(client: &Client, group: &ShortString, report: &Report) -> Result<()> {
    let queue = queue(client, group).await?;
    client.put(vec![outgoing(client, queue, report.to_text())?]).await
}

/// Reads a group's latest report; none where nobody wrote any.
pub(super) async fn read(client: &Client, group: &ShortString) -> Result<Option<Report>> {
    let queue = names::state(group.as_str())?;
    for _ in 0..LOOKS {
        match look(client, &queue).await {
            Ok(None) => tokio::time::sleep(PAUSE).await,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => return found,
        }
    }
    Ok(None)
}

async fn look(client: &Client, queue: &ShortString) -> Result<Option<Report>> {
    let channel = client.asking().await?;
    let mut latest: Option<Report> = None;
    // For a moment there may be two.
    while let Some(got) = channel
        .basic_get(queue.clone(), BasicGetOptions::default())
        .await
        .map_err(|error| from_lapin(&error))?
    {
        let found: Report = serde_json::from_slice(&got.delivery.data).unwrap_or_default();
        let is_later =
            |known: &Report| (found.generation, found.sequence) >= (known.generation, known.sequence);
        if latest.as_ref().is_none_or(is_later) {
            latest = Some(found);
        }
    }
    let all = BasicNackOptions {
        multiple: true,
        requeue: true,
    };
    let kept = channel.basic_nack(0, all).await;
    kept.map_err(|error| from_lapin(&error))?;
    Ok(latest)
}
