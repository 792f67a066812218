//! The framework as its users write it, with all its guarantees on: leases, attempts, fenced settling.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::raw::{self, BATCH, GROUP, STREAM};
use crate::payload::Payload;

/// Publishes in batches of a hundred, `depth` of them in flight.
pub async fn publish_batches(url: &str, messages: usize, depth: usize) -> anyhow::Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    let broker = Broker::connect(url).await?;
    let publisher = broker.publisher(STREAM).build().await?;
    let start = Instant::now();
    let batches = stream::iter(0..messages / BATCH).map(|_| async {
        let published = publisher.send_batch(Payload::Own.batch(BATCH)).await?;
        ensure!(published.all_stored(), "a message was not stored");
        Ok(black_box(published).len())
    });
    batches
        .buffered(depth)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    let took = start.elapsed();
    ensure!(raw::count(&mut server).await? == messages, "messages were lost");
    broker.close().await?;
    raw::clear(&mut server).await?;
    Ok(took)
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(url: &str, messages: usize, tasks: usize) -> anyhow::Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    let broker = Broker::connect(url).await?;
    let publisher = broker.publisher(STREAM).build().await?;
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
        raw::count(&mut server).await? == messages / tasks * tasks,
        "messages were lost"
    );
    broker.close().await?;
    raw::clear(&mut server).await?;
    Ok(took)
}

/// Reads and acknowledges `messages` that lie there, `batch` at a time.
pub async fn read(url: &str, messages: usize, batch: usize) -> anyhow::Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    raw::fill(&server, messages.next_multiple_of(BATCH), 8).await?;
    let broker = Broker::connect(url).await?;
    // One batch is read while the one before it is handled.
    let prefetch = if batch > 1 { 2 * batch } else { 1 };
    let mut deliveries = broker.subscribe(STREAM, GROUP).prefetch(prefetch).start().await?;
    let start = Instant::now();
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
    // Messages that were read ahead and not taken go back, and stay pending.
    let counts = broker.health_stats().await.counts;
    ensure!(
        counts.acked >= messages as u64 && counts.redelivered == 0,
        "not every message was settled once: {counts:?}"
    );
    drop(deliveries);
    broker.close().await?;
    raw::clear(&mut server).await?;
    Ok(took)
}

async fn look(broker::engine::Payload(payload): broker::engine::Payload) {
    black_box(payload.len());
}

/// Lets an engine handle `messages` that lie there, with the settings it has by itself.
pub async fn handle(url: &str, messages: usize) -> anyhow::Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    raw::fill(&server, messages.next_multiple_of(BATCH), 8).await?;
    let brokers = brokers(url)?;
    brokers.connect().await?;
    let start = Instant::now();
    let engine = Engine::builder(brokers)
        .subscribe(Subscriber::new(STREAM, GROUP).handle(look))
        .start()
        .await?;
    while engine.receipt().settled < messages as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let receipt = engine.stop().await?;
    let took = start.elapsed();
    ensure!(
        receipt.settled >= messages as u64,
        "messages were lost: {receipt}"
    );
    ensure!(
        raw::pending(&mut server).await? == 0,
        "not every message was acknowledged"
    );
    raw::clear(&mut server).await?;
    Ok(took)
}

/// Handles in lanes, a millisecond each.
pub async fn lanes(url: &str, messages: usize, lanes: usize) -> anyhow::Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    let took = crate::work::lanes::run(brokers(url)?, STREAM, messages, lanes).await?;
    raw::clear(&mut server).await?;
    Ok(took)
}

fn brokers(url: &str) -> anyhow::Result<broker::Brokers> {
    let config = broker::redis_streams::RedisStreamsConfig::new(url)?;
    Ok(broker::Brokers::builder().default(config).build()?)
}
