//! How long a message takes through RabbitMQ at a steady rate.

use std::time::Duration;

use anyhow::Context;
use broker::prelude::*;
use futures_util::stream::StreamExt;

use super::{EXCHANGE, GROUP, raw};
use crate::latency::{self, Latency, messages, soon, taken};
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
        let start = soon();
        let publishing_task = latency::publishing(start, move |payload| {
            let publisher = publisher.clone();
            async move { raw::publish(&publisher, &payload).await }
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
        let latencies = latency::through(publisher, &mut deliveries, soon()).await?;
        drop(deliveries);
        broker.close().await?;
        Ok(latencies)
    })
}
