//! Waiting until what was published is handled.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Capabilities, Error, ErrorKind, Failure, MessageId, Outcome, Published, Retry};
use tokio::time::{Instant, timeout_at};

use super::session::Session;
use crate::group::Group;
use crate::stream::Stream;

/// Part of the time allowed that is left for the answer.
const MARGIN: u32 = 20;

/// How soon is looked again, should a group be deleted or moved meanwhile.
const LOOK: Duration = Duration::from_millis(100);

impl Session {
    /// Waits until every group that a subscription reads for has settled what was stored; what one of them gave up has
    /// its failure as the outcome.
    pub(super) async fn handled(&self, stream: &Stream, published: Published, within: Duration) -> Published {
        let groups: Vec<_> = stream
            .groups()
            .into_iter()
            .filter(|group| group.is_subscribed())
            .collect();
        if groups.is_empty() {
            return published;
        }
        let until = Instant::now() + within.saturating_sub(within / MARGIN);
        let mut outcomes = Vec::with_capacity(published.len());
        for outcome in published.into_outcomes() {
            outcomes.push(match outcome {
                Outcome::Stored(MessageId::Offset { partition, offset }) => {
                    let place = (partition, offset);
                    match self.wait_for(&groups, place, until).await {
                        Ok(()) => Outcome::Stored(MessageId::Offset { partition, offset }),
                        Err(error) => Outcome::Unknown(error.with("stream", &stream.name)),
                    }
                }
                // Refused, or delayed.
                other => other,
            });
        }
        Published::each(outcomes)
    }

    async fn wait_for(&self, groups: &[Arc<Group>], place: (u32, u64), until: Instant) -> Result<(), Error> {
        let (partition, offset) = place;
        let mut failures = Vec::new();
        for group in groups {
            loop {
                let next = self.hub.handlings.next();
                let goes_on =
                    group.is_live() && group.is_subscribed() && self.check(Capabilities::empty()).is_ok();
                if group.has_settled(partition, offset) || !goes_on {
                    break;
                }
                if Instant::now() >= until {
                    return Err(too_late(group));
                }
                let _looks_again = timeout_at(until.min(Instant::now() + LOOK), next).await;
            }
            if let Some(failure) = self.hub.handlings.failure(group.id, partition, offset) {
                failures.push((group, failure));
            }
        }
        match failures.as_slice() {
            [] => Ok(()),
            failures => Err(given_up(failures)),
        }
    }
}

fn given_up(failures: &[(&Arc<Group>, Failure)]) -> Error {
    let lines: Vec<_> = failures
        .iter()
        .map(|(group, failure)| {
            let below = failure
                .chain
                .iter()
                .map(|line| format!(": {line}"))
                .collect::<String>();
            format!("group `{}` gave it up: {}{below}", group.name, failure.reason)
        })
        .collect();
    Error::new(
        ErrorKind::Unexpected,
        format!("it was stored, and {}", lines.join("; ")),
    )
    .retry(Retry::Never)
}

fn too_late(group: &Group) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "it was stored, and group `{}` has not settled it in time (operation_timeout); does a handler publish to its own stream?",
            group.name
        ),
    )
}
