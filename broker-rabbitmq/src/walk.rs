//! A walk through dead letters, which neither loses nor reorders them.

use std::time::Duration;

use broker_core::{ErrorKind, GroupName, Result, StreamName};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::from_lapin;
use crate::letter::{Walked, read};
use crate::names;

/// How many letters are asked for at once in a walk.
const STRIDE: usize = 256;

/// How long the server may take to have put back what a walk looked at.
const PUT_BACK: Duration = Duration::from_secs(2);

/// A group's dead letters, walked by one channel: what is not acked goes back when the walk ends.
pub(crate) struct Walk<'a> {
    client: &'a Client,
    channel: Channel,
    pub(crate) queue: ShortString,
    pub(crate) seen: u64,
    last: u64,
    gone: u64,
    over: bool,
}

impl<'a> Walk<'a> {
    /// Starts at the oldest letter; `None` where there never was one.
    pub(crate) async fn start(
        client: &'a Client,
        stream: &StreamName,
        group: &GroupName,
    ) -> Result<Option<Self>> {
        let queue = names::dead(names::queue(&client.config, stream, group)?.as_str())?;
        Ok(match depth(client, &queue).await? {
            None => None,
            Some(_) => Some(Self {
                client,
                channel: client.asking().await?,
                queue,
                seen: 0,
                last: 0,
                gone: 0,
                over: false,
            }),
        })
    }

    /// The next letters, oldest first; none at the end.
    pub(crate) async fn next(&mut self, stream: &StreamName, group: &GroupName) -> Result<Vec<Walked>> {
        let mut letters = Vec::new();
        if self.over {
            return Ok(letters);
        }
        let get = || {
            self.channel
                .basic_get(self.queue.clone(), BasicGetOptions::default())
        };
        for got in futures_util::future::join_all((0..STRIDE).map(|_| get())).await {
            let Some(got) = got.map_err(|error| from_lapin(&error))? else {
                self.over = true;
                continue;
            };
            self.seen += 1;
            self.last = got.delivery.delivery_tag;
            letters.push(read(got.delivery, stream, group)?);
        }
        Ok(letters)
    }

    /// Removes a letter for good.
    pub(crate) async fn remove(&mut self, tag: u64) -> Result<()> {
        let acked = self.channel.basic_ack(tag, BasicAckOptions::default()).await;
        acked.map_err(|error| from_lapin(&error))?;
        self.gone += 1;
        Ok(())
    }

    /// Puts back what was only looked at, and waits until it is there.
    pub(crate) async fn end(self) -> Result<()> {
        if self.seen > self.gone {
            let all = BasicNackOptions {
                multiple: true,
                requeue: true,
            };
            let put_back = self.channel.basic_nack(self.last, all).await;
            put_back.map_err(|error| from_lapin(&error))?;
        }
        let (left, until) = (self.seen - self.gone, Instant::now() + PUT_BACK);
        while depth(self.client, &self.queue).await?.unwrap_or(left) < left && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// How many letters there are; `None` where there is no queue for them.
pub(crate) async fn depth(client: &Client, queue: &ShortString) -> Result<Option<u64>> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let channel = client.asking().await?;
    let answer = channel
        .queue_declare(queue.clone(), passive, FieldTable::default())
        .await;
    match answer.map_err(|error| from_lapin(&error)) {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
