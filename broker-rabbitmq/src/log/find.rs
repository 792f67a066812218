//! Positions as offsets of a log.

use std::time::Duration;

use broker_core::{Error, ErrorKind, MessageId, Result, StartPosition, StreamName};
use lapin::message::Delivery;
use lapin::types::ShortString;

use super::attached::Place;
use super::progress::Progress;
use crate::client::{Client, published};
use crate::codec;
use crate::names;
use crate::settle::millis;

/// How far the clocks of publishers may be ahead of the server's.
const SLACK: Duration = Duration::from_secs(10);

/// How many messages the server sends ahead to a search.
const STRIDE: u16 = 1024;

impl Client {
    /// The log of a stream, which is there when this returns.
    pub(crate) async fn log(&self, stream: &StreamName) -> Result<ShortString> {
        self.stream(stream).await?;
        names::log(&self.config, stream)
    }

    /// The offset that the next message gets, later than all that was confirmed before the call.
    pub(super) async fn log_end(&self, log: &ShortString) -> Result<u64> {
        let mut end = 0;
        let mut tail = self.attach(log, Place::Last, STRIDE).await?;
        while let Some((offset, _)) = tail.next().await?.last() {
            end = offset + 1;
        }
        Ok(end)
    }

    /// The oldest offset that is kept; none where nothing is.
    pub(super) async fn log_start(&self, stream: &StreamName) -> Result<u64> {
        let log = names::log(&self.config, stream)?;
        let mut head = self.attach(&log, Place::First, 1).await?;
        Ok(head.next().await?.first().map_or(0, |(offset, _)| *offset))
    }

    /// What a group knows that begins at a position.
    pub(super) async fn resolve(&self, log: &ShortString, position: &StartPosition) -> Result<Progress> {
        let low = match position {
            StartPosition::Earliest => 0,
            StartPosition::Latest => self.log_end(log).await?,
            StartPosition::Id(MessageId::Offset { partition: 0, offset }) => {
                self.log_end(log).await?.min(*offset)
            }
            StartPosition::Id(id) => {
                let Some(time) = published(id) else {
                    return Err(Error::new(
                        ErrorKind::InvalidMessage,
                        format!(
                            "`{id}` is no id of this stream; one that publishing answered is expected, or `0:offset`"
                        ),
                    ));
                };
                self.find(log, time, Some(id)).await?
            }
            StartPosition::Time(time) => {
                // What was stored within the same millisecond counts as later.
                let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let millis = since.as_nanos().div_ceil(1_000_000);
                self.find(log, u64::try_from(millis).unwrap_or(u64::MAX), None)
                    .await?
            }
        };
        Ok(Progress::starting(low))
    }

    /// The message of that id, or else the first that was published at that time or later.
    async fn find(&self, log: &ShortString, time: u64, id: Option<&MessageId>) -> Result<u64> {
        let slack = u64::try_from(SLACK.as_millis()).unwrap_or(0);
        let seconds = time.saturating_sub(slack) / 1_000;
        let mut reader = self.attach(log, Place::Time(seconds), STRIDE).await?;
        let (mut later, mut end) = (None, None);
        loop {
            let came = reader.next().await?;
            if came.is_empty() {
                break;
            }
            for (offset, delivery) in came {
                end = Some(offset + 1);
                let (found, published) = told(delivery);
                if id == Some(&found) {
                    return Ok(offset);
                }
                // Another program's message that does not tell its time was stored about then.
                if published.is_none_or(|published| published >= time) {
                    later.get_or_insert(offset);
                }
                let is_past = published.is_some_and(|published| published > time.saturating_add(slack));
                if let (Some(later), true) = (later, id.is_none() || is_past) {
                    return Ok(later);
                }
            }
        }
        match later.or(end) {
            Some(found) => Ok(found),
            None => self.log_end(log).await,
        }
    }
}

/// A message's id, and when it was published as far as it tells.
fn told(delivery: Delivery) -> (MessageId, Option<u64>) {
    let content = codec::decode(delivery.data, &delivery.properties);
    let published = published(&content.meta.id).or_else(|| content.stored_at.map(millis));
    (content.meta.id, published)
}
