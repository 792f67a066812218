//! A reader of a log at the server, for as long as its channel lives.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result, Retry};
use futures_util::{Stream, StreamExt};
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::client::Client;
use crate::error::from_lapin;
use crate::properties::number;
use crate::told::{at_once, gone, tell};

/// Where a message lies in its log, as the server tells it with each delivery, and where reading begins.
const OFFSET: &str = "x-stream-offset";

/// How long the first message may be on its way, where nobody knows whether there is any: so many answers of the server to
/// something else, each after such a wait. A slow server answers slowly.
const FIRST: (u32, Duration) = (8, Duration::from_millis(30));

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the oldest message that is kept.
    First,
    /// At the last messages that were written together.
    Last,
    /// At this offset; at the end where it is not reached yet.
    Offset(u64),
    /// At what was written in this second of the server's clock, counted from 1970, or later.
    Time(u64),
}

/// A reader of a log.
pub(super) struct Attached {
    pub(super) channel: Channel,
    deliveries: lapin::Consumer,
    /// The latest delivery that came, and the latest that more credit was given for.
    tags: (u64, u64),
    /// The latest delivery that more credit may be given for.
    passed: u64,
    /// Credit is given for so many messages at once: an ack for each would be as much work as the messages.
    step: u64,
}

impl Client {
    /// Reads a log from `place` on; the server sends up to `prefetch` messages ahead of what it is given credit for.
    pub(super) async fn attach(&self, log: &ShortString, place: Place, prefetch: u16) -> Result<Attached> {
        let channel = self.asking().await?;
        let text = |text: &str| AMQPValue::LongString(text.as_bytes().into());
        let mut arguments = FieldTable::default();
        let place = match place {
            Place::First => text("first"),
            Place::Last => text("last"),
            Place::Offset(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
            Place::Time(seconds) => AMQPValue::Timestamp(seconds),
        };
        arguments.insert(OFFSET.into(), place);
        let starting = async {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            channel
                .basic_consume(log.clone(), ShortString::default(), options, arguments)
                .await
        };
        let deliveries = starting.await.map_err(|error| {
            let error = from_lapin(&error);
            match error.kind() {
                ErrorKind::Config => Error::new(
                    ErrorKind::Config,
                    "the server has no copy of the log, or what is named so is none; connect to a server that has one",
                )
                .source(error.to_string()),
                // Its node is starting, or its leader is about to be chosen.
                ErrorKind::Unexpected => error.retry(Retry::Safe),
                _ => error,
            }
        })?;
        Ok(Attached {
            channel,
            deliveries,
            tags: (0, 0),
            passed: 0,
            step: u64::from(prefetch / 4).max(1),
        })
    }
}

impl Attached {
    /// Takes what the server has sent by now, with its place in the log. Answers whether the sending goes on.
    pub(super) fn drain(&mut self, waker: &Waker, mut take: impl FnMut(u64, Delivery)) -> bool {
        let mut context = Context::from_waker(waker);
        loop {
            match Pin::new(&mut self.deliveries).poll_next(&mut context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(delivery))) => {
                    self.tags.0 = delivery.delivery_tag;
                    if let Some(offset) = offset(&delivery) {
                        take(offset, delivery);
                    }
                }
                // The log was deleted, or the channel is gone.
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
    }

    /// Lets the server send as many messages as came up to this delivery, if they are enough to be worth it.
    pub(super) fn passed(&mut self, tag: u64) {
        self.passed = tag;
        if tag >= self.tags.1 + self.step {
            self.give_credit(tag);
        }
    }

    /// The same, however few they are.
    pub(super) fn catch_up(&mut self) {
        self.give_credit(self.passed);
    }

    fn give_credit(&mut self, tag: u64) {
        if tag > self.tags.1 {
            self.tags.1 = tag;
            let channel = self.channel.clone();
            // It is on its way when this returns.
            drop(at_once(async move {
                channel.basic_ack(tag, BasicAckOptions { multiple: true }).await
            }));
        }
    }

    /// The next messages; none at the end of the log, which all that was confirmed before the call lies before.
    pub(super) async fn next(&mut self) -> Result<Vec<(u64, Delivery)>> {
        let mut came = Vec::new();
        if self.tags.0 == 0 {
            // An empty log sends nothing, and does not say so.
            let mut answers = 0;
            let first = loop {
                match tokio::time::timeout(FIRST.1, self.deliveries.next()).await {
                    Ok(first) => break first,
                    Err(_) if answers == FIRST.0 => return Ok(came),
                    Err(_) => tell(&self.channel, Vec::new()).await?,
                }
                answers += 1;
            };
            let Some(Ok(delivery)) = first else {
                return Err(gone());
            };
            self.tags.0 = delivery.delivery_tag;
            came.extend(offset(&delivery).map(|offset| (offset, delivery)));
        }
        self.give_credit(self.tags.0);
        // What the server had to send for that is here when it answers.
        tell(&self.channel, Vec::new()).await?;
        match self.drain(Waker::noop(), |offset, delivery| came.push((offset, delivery))) {
            true => Ok(came),
            false => Err(gone()),
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let channel = self.channel.clone();
        drop(at_once(async move { channel.close(200, "read".into()).await }));
    }
}

/// Where a message lies in its log.
fn offset(delivery: &Delivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    u64::try_from(number(headers.inner().get(OFFSET)?)?).ok()
}
