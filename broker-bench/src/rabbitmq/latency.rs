//! How long a message takes through RabbitMQ at a steady rate.

use std::time::{Duration, Instant};

use anyhow::Context;
use broker::prelude::*;
use futures_util::stream::StreamExt;

use super::{EXCHANGE, GROUP, raw};
use crate::latency::{self, Latency, arrivals, messages, stamped, taken};
use crate::rounds;

/// How many messages the server sends ahead.
const PREFETCH: u16 = 100;

/// Measures raw client and framework in turn.
pub fn measure(url: &str, rounds: usize) -> anyhow::Result<Vec<Latency>> {
    latency::measure(
        rounds,
        ("rabbitmq_raw_latency", || through_raw(url)),
        ("rabbitmq_latency", || through_framework(url)),
    )
}

/// How long each message takes through the raw client.
pub fn through_raw(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let (publishing, publisher) = raw::connect(url).await?;
        let (reading, reader) = raw::connect(url).await?;
        let mut consumer = raw::consume(&reader, PREFETCH).await?;
        let start = Instant::now() + Duration::from_millis(50);
        let mut due = arrivals(start);
        let publishing_task = tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let publisher = publisher.clone();
                tokio::spawn(async move { raw::publish(&publisher, &stamped(start, due)).await });
            }
        });
        let mut latencies = Vec::with_capacity(messages());
        while latencies.len() < messages() {
            let delivery = consumer.next().await.context("the server sends no more")??;
            latencies.push(taken(start, &delivery.data)?);
            raw::acknowledge(&reader, delivery.delivery_tag).await?;
        }
        publishing_task.await?;
        publishing.close(200, "bye".into()).await?;
        reading.close(200, "bye".into()).await?;
        Ok(latencies)
    })
}

/// How long each message takes through the framework.
pub fn through_framework(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let broker = Broker::connect(url).await?;
        let publisher = broker.publisher(EXCHANGE).build().await?;
        let mut deliveries = broker
            .subscribe(EXCHANGE, GROUP)
            .prefetch(usize::from(PREFETCH))
            .start()
            .await?;
        let start = Instant::now() + Duration::from_millis(50);
        let mut due = arrivals(start);
        let publishing_task = tokio::spawn(async move {
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
        publishing_task.await?;
        drop(deliveries);
        broker.close().await?;
        Ok(latencies)
    })
}
