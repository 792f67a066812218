//! Moving a group.

use std::time::Duration;

use broker_core::base::Replay;
use broker_core::{Error, ErrorKind, GroupName, Result, Retry, StartPosition, StreamName, async_trait};
use tokio::time::Instant;

use super::attached::Place;
use super::group::{Group, epoch};
use crate::broker::RabbitMq;
use crate::names;
use crate::told::gone;

#[async_trait]
impl Replay for RabbitMq {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        let client = self.client();
        client.check_open()?;
        let queue = names::queue(&client.config, stream, group)?;
        if !client.is_made(&queue).await? {
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
        known.wait_for_token().await?;
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

/// How long the token may be on its way from a process that gives the group up.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

impl Group {
    /// Waits until this process reads for the group, unless another one does.
    async fn wait_for_token(&self) -> Result<()> {
        let until = Instant::now() + ON_ITS_WAY;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if self.state().live().is_some() {
                return Ok(());
            }
            if tokio::time::timeout_at(until, arrived).await.is_err() {
                let line = "the group is read by another process, which would not notice; stop that first";
                return Err(Error::new(ErrorKind::Throttled, line).retry(Retry::Never));
            }
        }
    }
}
