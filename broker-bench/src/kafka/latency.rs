//! How long a message takes through Kafka at a steady rate.

use std::time::Duration;

use anyhow::Context;
use broker::prelude::*;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::topics::Topics;
use super::{framework, raw};
use crate::latency::{self, Latency, messages, soon, taken};
use crate::rounds;

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
        let (start, to) = (soon(), topic.clone());
        let publishing = latency::publishing(start, move |payload| {
            let (producer, topic) = (producer.clone(), to.clone());
            async move { send(&producer, &topic, &payload).await }
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
        let brokers = framework::connect(topics.servers(), &[("linger", "\"0ms\"")]).await?;
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
        let latencies = latency::through(publisher, &mut deliveries, soon()).await?;
        drop(deliveries);
        brokers.close().await?;
        topics.delete(&topic).await?;
        Ok(latencies)
    })
}
