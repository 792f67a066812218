//! The framework as its users write it, with all its guarantees on: confirms, leases, attempts, fenced settling.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{EXCHANGE, GROUP, raw};
use crate::payload::Payload;

/// Makes the exchange and the queue that all cases use.
pub async fn prepare(url: &str) -> anyhow::Result<()> {
    let broker = Broker::connect(url).await?;
    broker.read(EXCHANGE, GROUP, 1).await?;
    broker.close().await?;
    Ok(())
}

/// Publishes in batches, `depth` of them in flight.
pub async fn publish_batches(
    url: &str,
    messages: usize,
    batch: usize,
    depth: usize,
) -> anyhow::Result<Duration> {
    let (connection, channel) = raw::connect(url).await?;
    let broker = Broker::connect(url).await?;
    let publisher = broker.publisher(EXCHANGE).build().await?;
    let start = Instant::now();
    let batches = stream::iter(0..messages / batch).map(|_| async {
        let published = publisher.send_batch(Payload::Own.batch(batch)).await?;
        ensure!(published.all_stored(), "a message was not stored");
        Ok(black_box(published).len())
    });
    batches
        .buffered(depth)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    let took = start.elapsed();
    ensure!(raw::purge(&channel).await? == messages, "messages were lost");
    broker.close().await?;
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(url: &str, messages: usize, tasks: usize) -> anyhow::Result<Duration> {
    let (connection, channel) = raw::connect(url).await?;
    let broker = Broker::connect(url).await?;
    let publisher = broker.publisher(EXCHANGE).build().await?;
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    publisher.send(Payload::Own.message()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    let took = start.elapsed();
    ensure!(
        raw::purge(&channel).await? == messages / tasks * tasks,
        "messages were lost"
    );
    broker.close().await?;
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Reads and acknowledges `messages` that lie there, `batch` at a time.
pub async fn read(url: &str, messages: usize, batch: usize) -> anyhow::Result<Duration> {
    let (connection, channel) = raw::connect(url).await?;
    let messages = messages.next_multiple_of(super::BATCH);
    raw::fill(&channel, messages, super::BATCH, 8).await?;
    let broker = Broker::connect(url).await?;
    let start = Instant::now();
    let mut deliveries = broker
        .subscribe(EXCHANGE, GROUP)
        .prefetch(2 * batch)
        .start()
        .await?;
    let mut seen = 0;
    while seen < messages {
        let Some(batch) = deliveries.next_batch().await else {
            break;
        };
        let batch = batch?;
        for delivery in batch.iter() {
            black_box(delivery.payload().len());
            seen += 1;
        }
        batch.ack_later();
    }
    deliveries.settled().await?;
    let took = start.elapsed();
    ensure!(seen >= messages, "messages were lost");
    let counts = broker.health_stats().await.counts;
    ensure!(
        counts.acked >= messages as u64 && counts.redelivered == 0,
        "not every message was settled once: {counts:?}"
    );
    drop(deliveries);
    broker.close().await?;
    ensure!(raw::purge(&channel).await? == 0, "messages were left over");
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Handles in lanes, a millisecond each.
pub async fn lanes(url: &str, messages: usize, lanes: usize) -> anyhow::Result<Duration> {
    let config = broker::rabbitmq::RabbitMqConfig::new(url)?;
    let brokers = broker::Brokers::builder().default(config).build()?;
    crate::work::lanes::run(brokers, EXCHANGE, messages, lanes).await
}
