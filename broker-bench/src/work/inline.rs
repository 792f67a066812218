//! The embedded broker, with all its guarantees on: groups, leases, attempts, redelivery, dead letters, bounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::prelude::*;

use super::BATCH;
use crate::payload::Payload;

pub(super) async fn batches(messages: usize, owned: bool, payload: Payload) -> anyhow::Result<Duration> {
    let broker = Broker::connect("inline://").await?;
    let publisher = broker.publisher("bench").build().await?;
    let mut deliveries = broker
        .subscribe("bench", "handlers")
        .prefetch(BATCH * 4)
        .start()
        .await?;
    let total = messages / BATCH * BATCH;
    let start = Instant::now();
    let publishing = tokio::spawn(async move {
        for _ in 0..messages / BATCH {
            let published = publisher.send_batch(payload.batch(BATCH)).await?;
            ensure!(published.all_stored(), "a message was not stored");
        }
        anyhow::Ok(())
    });
    let handling = tokio::spawn(async move {
        let mut seen = 0;
        while seen < total {
            let Some(batch) = deliveries.next_batch().await else {
                break;
            };
            let batch = batch?;
            if owned {
                for delivery in batch {
                    black_box(delivery.payload().len());
                    seen += 1;
                    delivery.ack_later();
                }
            } else {
                for delivery in batch.iter() {
                    black_box(delivery.payload().len());
                    seen += 1;
                }
                batch.ack_later();
            }
        }
        deliveries.settled().await?;
        anyhow::Ok(seen)
    });
    publishing.await??;
    ensure!(handling.await?? == total, "the broker lost messages");
    let took = start.elapsed();
    check_and_close(&broker, total).await?;
    Ok(took)
}

pub(super) async fn singles(messages: usize, tasks: usize, payload: Payload) -> anyhow::Result<Duration> {
    let broker = Broker::connect("inline://").await?;
    let publisher = broker.publisher("bench").build().await?;
    let total = messages / tasks * tasks;
    let mut subscriptions = Vec::new();
    for member in 0..tasks {
        let name = format!("handler-{member}");
        subscriptions.push(
            broker
                .subscribe("bench", "handlers")
                .consumer(name)
                .prefetch(256)
                .start()
                .await?,
        );
    }
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    publisher.send(payload.message()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let handling: Vec<_> = subscriptions
        .into_iter()
        .map(|mut deliveries| {
            tokio::spawn(async move {
                while let Some(delivery) = deliveries.next().await {
                    let delivery = delivery?;
                    black_box(delivery.payload().len());
                    delivery.ack_later();
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    // A member that finds nothing more sends its acks before it waits: when all are there, the work is done.
    while broker.health_stats().await.counts.acked < total as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    check_and_close(&broker, total).await?;
    for handler in handling {
        handler.await??;
    }
    Ok(took)
}

async fn check_and_close(broker: &Broker, total: usize) -> anyhow::Result<()> {
    let counts = broker.health_stats().await.counts;
    ensure!(
        counts.published == total as u64 && counts.acked == total as u64 && counts.redelivered == 0,
        "not every message was settled once: {counts:?}"
    );
    broker.close().await?;
    Ok(())
}
