//! sea-streamer: a send hands over and answers with a receipt to await; acks are sent by a task of its own.

use std::sync::Arc;

use anyhow::Result;
use sea_streamer_kafka::{KafkaConsumer, KafkaProducer};
use sea_streamer_redis::{RedisConsumer, RedisProducer};
use sea_streamer_types::{Buffer as _, Consumer as _, Message as _, Producer as _};

use super::{Ack, Publish, Read, handed_over};

#[derive(Clone)]
pub struct RedisPublisher(pub RedisProducer);

impl Publish for RedisPublisher {
    async fn send(&self, payload: Vec<u8>) -> Result<()> {
        self.0.send(payload.as_slice())?.await?;
        Ok(())
    }
}

/// Commits acks by hand once for each batch: what commits by itself waits for the next heartbeat at the end.
pub struct RedisReader {
    consumer: RedisConsumer,
    batch: usize,
    /// Acks that are not committed.
    open: usize,
}

impl RedisReader {
    pub fn new(consumer: RedisConsumer, batch: usize) -> Self {
        Self {
            consumer,
            batch,
            open: 0,
        }
    }
}

impl Read for RedisReader {
    async fn read(&mut self, most: usize, mut handle: impl FnMut(&[u8]) + Send) -> Result<(usize, Ack)> {
        let message = self.consumer.next().await?;
        handle(message.message().as_bytes());
        self.consumer.ack(&message)?;
        self.open += 1;
        if self.open >= self.batch || most == 1 {
            self.consumer.commit_asap()?;
            self.open = 0;
        }
        Ok((1, handed_over()))
    }

    async fn settled(mut self) -> Result<()> {
        Ok(self.consumer.commit()?.await?)
    }
}

/// The producer is no `Clone`.
#[derive(Clone)]
pub struct KafkaPublisher(Arc<KafkaProducer>);

impl KafkaPublisher {
    pub fn new(producer: KafkaProducer) -> Self {
        Self(Arc::new(producer))
    }
}

impl Publish for KafkaPublisher {
    async fn send(&self, payload: Vec<u8>) -> Result<()> {
        self.0.send(payload.as_slice())?.await?;
        Ok(())
    }
}

pub struct KafkaReader(pub KafkaConsumer);

impl Read for KafkaReader {
    async fn read(&mut self, _most: usize, mut handle: impl FnMut(&[u8]) + Send) -> Result<(usize, Ack)> {
        let message = self.0.next().await?;
        handle(message.message().as_bytes());
        let read = message.identifier();
        self.0.store_offset_with(&read)?;
        Ok((1, handed_over()))
    }

    async fn settled(self) -> Result<()> {
        Ok(())
    }
}
