//! The framework as its users write it, with all its guarantees on: idempotent publishing, per-message settling,
//! attempts, fenced receipts.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::config::Config;
use broker::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{BATCH, DEPTH};
use crate::payload::Payload;

/// A broker on `servers`, as it comes but for these settings.
pub async fn connect(servers: &str, settings: &[(&str, &str)]) -> anyhow::Result<Brokers> {
    let mut text = format!("[brokers.default]\nprovider = \"kafka\"\nbootstrap_servers = [\"{servers}\"]\n");
    for (key, value) in settings {
        writeln!(text, "{key} = {value}")?;
    }
    let brokers = Brokers::open(&Config::from_text(&text)?)?;
    brokers.connect().await?;
    Ok(brokers)
}

/// Publishes in batches, several of them in flight.
pub async fn publish_batches(servers: &str, topic: &str, messages: usize) -> anyhow::Result<Duration> {
    let brokers = connect(servers, &[]).await?;
    let publisher = brokers.default_broker().publisher(topic).build().await?;
    publisher.send(Payload::Own.message()).await?;
    let start = Instant::now();
    let batches = stream::iter(0..messages / BATCH).map(|_| async {
        let published = publisher.send_batch(Payload::Own.batch(BATCH)).await?;
        ensure!(published.all_stored(), "a message was not stored");
        Ok(black_box(published).len())
    });
    batches
        .buffered(DEPTH)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    let took = start.elapsed();
    brokers.close().await?;
    Ok(took)
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(
    servers: &str,
    topic: &str,
    messages: usize,
    tasks: usize,
) -> anyhow::Result<Duration> {
    let brokers = connect(servers, &[]).await?;
    let publisher = brokers.default_broker().publisher(topic).build().await?;
    publisher.send(Payload::Own.message()).await?;
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
    brokers.close().await?;
    Ok(took)
}

/// Reads `messages` that lie there and acknowledges each; the clock starts with the first.
pub async fn read(servers: &str, topic: &str, group: &str, messages: usize) -> anyhow::Result<Duration> {
    let brokers = connect(servers, &[]).await?;
    let broker = brokers.default_broker();
    let mut deliveries = broker.subscribe(topic, group).prefetch(1000).start().await?;
    let mut start = None;
    let mut seen = 0;
    while seen < messages {
        let batch = deliveries.next_batch().await.context("the broker closed")??;
        start.get_or_insert_with(Instant::now);
        for delivery in batch {
            black_box(delivery.payload().len());
            seen += 1;
            delivery.ack_later();
        }
    }
    deliveries.settled().await?;
    let took = start.context("nothing came")?.elapsed();
    let counts = broker.health_stats().await.counts;
    ensure!(
        counts.acked >= messages as u64 && counts.redelivered == 0,
        "not every message was settled once: {counts:?}"
    );
    drop(deliveries);
    brokers.close().await?;
    Ok(took)
}

/// Handles in lanes, a millisecond each.
pub async fn lanes(servers: &str, topic: &str, messages: usize, lanes: usize) -> anyhow::Result<Duration> {
    let brokers = connect(servers, &[]).await?;
    crate::work::lanes::run(brokers, topic, messages, lanes).await
}
