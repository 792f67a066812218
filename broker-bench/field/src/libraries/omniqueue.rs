//! omniqueue: one message a call, and each ack awaited.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::try_join_all;
use omniqueue::{QueueConsumer, QueueProducer};

use super::{Ack, Publish, Read};

/// How long one read waits for messages.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Publisher<P>(Arc<P>);

impl<P> Publisher<P> {
    pub fn new(producer: P) -> Self {
        Self(Arc::new(producer))
    }
}

impl<P> Clone for Publisher<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: QueueProducer<Payload = Vec<u8>> + 'static> Publish for Publisher<P> {
    async fn send(&self, payload: Vec<u8>) -> Result<()> {
        Ok(self.0.send_raw(&payload).await?)
    }
}

pub struct Reader<C>(pub C);

impl<C: QueueConsumer + 'static> Read for Reader<C> {
    async fn read(&mut self, most: usize, mut handle: impl FnMut(&[u8]) + Send) -> Result<(usize, Ack)> {
        let deliveries = self.0.receive_all(most, PATIENCE).await?;
        for delivery in &deliveries {
            handle(delivery.borrow_payload().unwrap_or_default());
        }
        let count = deliveries.len();
        let acks = deliveries
            .into_iter()
            .map(|delivery| async move { delivery.ack().await.map_err(|(error, _)| anyhow!(error)) });
        let acks = try_join_all(acks.collect::<Vec<_>>());
        Ok((count, Box::pin(async move { acks.await.map(drop) })))
    }

    async fn settled(self) -> Result<()> {
        Ok(())
    }
}
