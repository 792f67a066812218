//! Publishing: one counter a batch, one outcome a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use broker_core::{
    Error, Message, MessageId, Outcome, Published, Result, Retry, StreamName, partition_for_key,
};
use rdkafka::error::RDKafkaErrorCode;

use crate::client::Client;
use crate::producer::{LARGEST, Producer, Record};
use crate::topic::Topic;
use crate::{codec, error};

/// A stream to publish to.
pub(crate) struct Publisher {
    client: Arc<Client>,
    stream: StreamName,
    /// Where the next messages without a key go.
    next: AtomicU32,
}

impl Publisher {
    pub(crate) async fn new(client: &Arc<Client>, stream: &StreamName) -> Result<Self> {
        client.topic(stream).await?;
        Ok(Self {
            client: Arc::clone(client),
            stream: stream.clone(),
            next: AtomicU32::new(0),
        })
    }

    /// Whether batches that follow on one another are stored in order, whatever becomes of one of them.
    pub(crate) fn keeps_order(&self) -> bool {
        self.client.config.idempotence && !self.client.context.config.retry_unknown
    }

    /// Stores messages in order.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<Published> {
        if messages.is_empty() {
            return Ok(Published::each(Vec::new()));
        }
        let producer = self.client.producer().await?;
        self.publish_by(&producer, messages).await
    }

    /// Stores messages in order by this producer.
    pub(crate) async fn publish_by(&self, producer: &Producer, messages: &[Message]) -> Result<Published> {
        let topic = self.client.topic(&self.stream).await?;
        // Messages without a key travel together; the next batch takes the next partition.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % topic.partitions.max(1);
        if messages.len() <= LARGEST {
            return Ok(self.publish_part(producer, &topic, turn, messages).await);
        }
        let mut outcomes = Vec::with_capacity(messages.len());
        for part in messages.chunks(LARGEST) {
            outcomes.extend(
                self.publish_part(producer, &topic, turn, part)
                    .await
                    .into_outcomes(),
            );
        }
        Ok(Published::each(outcomes))
    }

    async fn publish_part(
        &self,
        producer: &Producer,
        topic: &Topic,
        turn: u32,
        messages: &[Message],
    ) -> Published {
        let partition_of = |message: &Message| match message.message_key() {
            Some(key) => partition_for_key(key, topic.partitions),
            None => turn,
        };
        let mut refused = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = codec::check(message) {
                refused.push((index, error));
            }
        }
        let batch = producer.begin(messages.len() - refused.len());
        let mut place = 0;
        let mut skipped = 0;
        for (index, message) in messages.iter().enumerate() {
            if refused.get(skipped).is_some_and(|(refused, _)| *refused == index) {
                skipped += 1;
                continue;
            }
            let record = Record {
                topic: &topic.name,
                partition: i32::try_from(partition_of(message)).ok(),
                key: message.message_key().map(|key| &**key),
                payload: Some(message.payload()),
                headers: codec::headers(message),
            };
            producer.send(&batch, place, record).await;
            place += 1;
        }
        batch.done().await;
        let failures = batch.failures();
        if failures.is_empty() && refused.is_empty() {
            // One partition and neighbouring offsets, as usual, are three numbers.
            let partition = messages.first().map_or(turn, partition_of);
            let first = batch.offset(0).unwrap_or(0);
            let follows = |(index, message): (usize, &Message)| {
                partition_of(message) == partition && batch.offset(index) == Some(first + index as u64)
            };
            if messages.iter().enumerate().all(follows) {
                return Published::run(partition, first, messages.len());
            }
        }
        let (mut failures, mut refused) = (failures.into_iter().peekable(), refused.into_iter().peekable());
        let mut place = 0;
        let outcomes = messages.iter().enumerate().map(|(index, message)| {
            if let Some((_, error)) = refused.next_if(|(refused, _)| *refused == index) {
                return Outcome::NotSent(error);
            }
            let outcome = match failures.next_if(|(failed, ..)| *failed == place) {
                Some((_, code, certain)) => self.failed(code, certain),
                None => Outcome::Stored(MessageId::Offset {
                    partition: partition_of(message),
                    offset: batch.offset(place).unwrap_or(0),
                }),
            };
            place += 1;
            outcome
        });
        Published::each(outcomes.collect())
    }

    fn failed(&self, code: RDKafkaErrorCode, certain: bool) -> Outcome {
        if matches!(
            code,
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        ) {
            self.client.forget_topic(&self.stream);
        }
        let error: Error = error::from_code(code);
        if certain {
            // The library tried for as long as it may. Were it sent again now, it would come after what follows it.
            return Outcome::NotSent(match error.retry_class() {
                Retry::Safe => error.retry(Retry::Exhausted),
                _ => error,
            });
        }
        Outcome::Unknown(error.retry(Retry::Unknown))
    }
}
