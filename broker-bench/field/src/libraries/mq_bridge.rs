//! mq-bridge: batches on both sides, one commit for each that was read.

use std::sync::Arc;

use anyhow::{Result, bail};
use mq_bridge::CanonicalMessage;
use mq_bridge::traits::{MessageConsumer, MessageDisposition, MessagePublisher, SentBatch};

use super::{Ack, Publish, Read};

#[derive(Clone)]
pub struct Publisher(Arc<dyn MessagePublisher>);

impl Publisher {
    pub fn new(publisher: impl MessagePublisher) -> Self {
        Self(Arc::new(publisher))
    }
}

impl Publish for Publisher {
    async fn send(&self, payload: Vec<u8>) -> Result<()> {
        self.0.send(CanonicalMessage::new(payload, None)).await?;
        Ok(())
    }

    async fn send_batch(&self, payloads: Vec<Vec<u8>>) -> Result<()> {
        let messages = payloads
            .into_iter()
            .map(|payload| CanonicalMessage::new(payload, None));
        match self.0.send_batch(messages.collect()).await? {
            SentBatch::Ack => Ok(()),
            SentBatch::Partial { failed, .. } if failed.is_empty() => Ok(()),
            SentBatch::Partial { failed, .. } => bail!("{} messages were not stored", failed.len()),
        }
    }
}

pub struct Reader(Box<dyn MessageConsumer>);

impl Reader {
    pub fn new(consumer: impl MessageConsumer + 'static) -> Self {
        Self(Box::new(consumer))
    }
}

impl Read for Reader {
    async fn read(&mut self, most: usize, mut handle: impl FnMut(&[u8]) + Send) -> Result<(usize, Ack)> {
        let batch = self.0.receive_batch(most).await?;
        for message in &batch.messages {
            handle(&message.payload);
        }
        let count = batch.messages.len();
        Ok((count, (batch.commit)(vec![MessageDisposition::Ack; count])))
    }

    async fn settled(self) -> Result<()> {
        Ok(())
    }
}
