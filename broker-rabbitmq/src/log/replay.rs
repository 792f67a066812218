//! Moving a group.

use std::time::Duration;

use broker_core::base::Replay;
use broker_core::{Error, ErrorKind, GroupName, Result, StartPosition, StreamName, async_trait};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::Instant;

use super::attached::Place;
use super::group::{Group, epoch};
use crate::broker::RabbitMq;
use crate::client::Client;
use crate::error::from_lapin;
use crate::names;
use crate::told::gone;
use crate::walk::depth;

#[async_trait]
impl Replay for RabbitMq {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        let client = self.client();
        client.check_open()?;
        let queue = names::queue(&client.config, stream, group)?;
        if depth(client, &queue).await?.is_none() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such group"));
        }
        let log = client.log(stream).await?;
        let progress = client.resolve(&log, position).await?;
        let known = client
            .readers
            .known(client, stream, group, &StartPosition::Earliest)?;
        known.open().await?;
        let place = Place::Offset(progress.low);
        let reader = client.attach(&log, place, client.config.prefetch_count).await?;
        known.wait_for_token(client).await?;
        let change = {
            let mut state = known.state();
            let session = state.live().ok_or_else(gone)?;
            session.move_to(epoch(), &progress, reader);
            // Whatever was settled before is open again, or gone.
            state.past.clear();
            drop(state);
            known.change().ok_or_else(gone)?
        };
        known.arrived.notify_waiters();
        let written = known.write_down(client, change).await;
        let is_used = known.state().users > 0;
        if !is_used {
            known.finish(client).await;
        }
        written
    }
}

/// How often it is looked whether another process reads for the group.
const LOOK: Duration = Duration::from_millis(50);

impl Group {
    /// Waits until this process reads for the group, unless another one does.
    async fn wait_for_token(&self, client: &Client) -> Result<()> {
        let until = Instant::now() + client.context.config.operation_timeout;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if self.state().live().is_some() {
                return Ok(());
            }
            if self.consumers(client).await? > 1 || Instant::now() >= until {
                let line = "the group is read by another process, which would not notice; stop that first";
                return Err(Error::new(ErrorKind::Throttled, line));
            }
            let _ = tokio::time::timeout(LOOK, arrived).await;
        }
    }

    /// How many processes read for the group, or wait to.
    async fn consumers(&self, client: &Client) -> Result<u32> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = client.asking().await?;
        let seen = channel
            .queue_declare(self.queue.clone(), passive, FieldTable::default())
            .await;
        seen.map(|seen| seen.consumer_count())
            .map_err(|error| from_lapin(&error))
    }
}
