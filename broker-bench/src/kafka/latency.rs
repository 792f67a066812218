//! How long a message takes through Kafka at a steady rate.

use std::time::{Duration, Instant};

use anyhow::Context;
use broker::prelude::*;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::topics::Topics;
use super::{framework, raw};
use crate::latency::{self, Latency, arrivals, messages, stamped, taken};
use crate::rounds;

/// How long the first message may take: it waits for the group's assignment.
const LEAD: Duration = Duration::from_millis(50);

/// Measures raw client and framework in turn, both without waiting for more to send at once.
pub fn measure(topics: &Topics, rounds: usize) -> anyhow::Result<Vec<Latency>> {
    latency::measure(
        rounds,
        ("kafka_raw_latency", || through_raw(topics)),
        ("kafka_latency", || through_framework(topics)),
    )
}

/// How long each message takes through the raw client.
pub fn through_raw(topics: &Topics) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let topic = format!("latency-{}", fastrand::u64(..));
        topics.create(&topic).await?;
        let producer: FutureProducer = raw::config(topics.servers())
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create()?;
        let consumer: StreamConsumer = raw::consumer(topics.servers(), "handlers", true)?;
        consumer.subscribe(&[topic.as_str()])?;
        // Set-up is over when something came through.
        send(&producer, &topic, &[0; 8]).await?;
        consumer.recv().await?;
        let start = Instant::now() + LEAD;
        let mut due = arrivals(start);
        let to = topic.clone();
        let publishing = tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let (producer, topic) = (producer.clone(), to.clone());
                tokio::spawn(async move { send(&producer, &topic, &stamped(start, due)).await });
            }
        });
        let mut latencies = Vec::with_capacity(messages());
        while latencies.len() < messages() {
            let message = consumer.recv().await?;
            latencies.push(taken(start, message.payload().unwrap_or_default())?);
        }
        publishing.await?;
        topics.delete(&topic).await?;
        Ok(latencies)
    })
}

async fn send(producer: &FutureProducer, topic: &str, payload: &[u8]) -> anyhow::Result<()> {
    let record = FutureRecord::<(), [u8]>::to(topic).payload(payload);
    let sent = producer.send_result(record).map_err(|(error, _)| error)?;
    sent.await?.map_err(|(error, _)| error)?;
    Ok(())
}

/// How long each message takes through the framework.
pub fn through_framework(topics: &Topics) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let topic = format!("latency-{}", fastrand::u64(..));
        topics.create(&topic).await?;
        let brokers = framework::connect(topics.servers(), &[("linger", "\"0ms\"")], true).await?;
        let broker = brokers.default_broker();
        let publisher = broker.publisher(topic.as_str()).build().await?;
        let mut deliveries = broker
            .subscribe(topic.as_str(), "handlers")
            .prefetch(100)
            .start()
            .await?;
        publisher.send(Message::new(vec![0; 8])).await?;
        deliveries
            .next()
            .await
            .context("the broker closed")??
            .ack()
            .await?;
        let start = Instant::now() + LEAD;
        let mut due = arrivals(start);
        let publishing = tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let publisher = publisher.clone();
                tokio::spawn(async move { publisher.send(Message::new(stamped(start, due))).await });
            }
        });
        let mut latencies = Vec::with_capacity(messages());
        while latencies.len() < messages() {
            let batch = deliveries.next_batch().await.context("the broker closed")??;
            for delivery in batch.iter() {
                latencies.push(taken(start, delivery.payload())?);
            }
            batch.ack_later();
        }
        deliveries.settled().await?;
        publishing.await?;
        drop(deliveries);
        brokers.close().await?;
        topics.delete(&topic).await?;
        Ok(latencies)
    })
}
