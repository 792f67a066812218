//! ruststream: one publish a call; reads in batches, each message acknowledged by itself.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use ruststream::{BatchSubscriber, IncomingMessage, OutgoingMessage, PayloadForm};

use super::{Ack, Publish, Read};

pub struct Publisher<P> {
    publisher: Arc<P>,
    name: String,
}

impl<P> Publisher<P> {
    pub fn new(publisher: P, name: &str) -> Self {
        Self {
            publisher: Arc::new(publisher),
            name: name.to_owned(),
        }
    }
}

impl<P> Clone for Publisher<P> {
    fn clone(&self) -> Self {
        Self {
            publisher: Arc::clone(&self.publisher),
            name: self.name.clone(),
        }
    }
}

impl<P: ruststream::Publisher + 'static> Publish for Publisher<P> {
    async fn send(&self, payload: Vec<u8>) -> Result<()> {
        let form = <P::Payload as PayloadForm>::Form::from(&payload);
        let message = OutgoingMessage::with_payload(&self.name, form);
        Ok(self.publisher.publish(message, None).await?)
    }
}

pub struct Reader<S>(pub S);

impl<S> Read for Reader<S>
where
    S: BatchSubscriber + 'static,
    S::Message: 'static,
{
    async fn read(&mut self, most: usize, mut handle: impl FnMut(&[u8]) + Send) -> Result<(usize, Ack)> {
        let most = NonZeroUsize::new(most).context("nothing is asked for")?;
        let batch = pin!(self.0.batches(most))
            .next()
            .await
            .context("the subscription ended")??;
        let messages: Vec<_> = batch.into_iter().collect();
        for message in &messages {
            handle(message.payload());
        }
        let count = messages.len();
        let acks = try_join_all(messages.into_iter().map(IncomingMessage::ack));
        Ok((count, Box::pin(async move { Ok(acks.await.map(drop)?) })))
    }

    async fn settled(self) -> Result<()> {
        Ok(())
    }
}
