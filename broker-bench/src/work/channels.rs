//! The bare channels.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{BATCH, BOUND};
use crate::payload::Payload;

pub(super) async fn flume_batches(messages: usize, payload: Payload) -> anyhow::Result<Duration> {
    let (sender, receiver) = flume::bounded(BOUND / BATCH);
    let start = Instant::now();
    let publishing = tokio::spawn(async move {
        for _ in 0..messages / BATCH {
            sender.send_async(payload.batch(BATCH)).await?;
        }
        anyhow::Ok(())
    });
    let handling = tokio::spawn(async move {
        let mut seen = 0;
        while let Ok(batch) = receiver.recv_async().await {
            for message in &batch {
                black_box(message.payload().len());
                seen += 1;
            }
        }
        seen
    });
    publishing.await??;
    ensure!(
        handling.await? == messages / BATCH * BATCH,
        "the channel lost messages"
    );
    Ok(start.elapsed())
}

pub(super) async fn tokio_batches(messages: usize, payload: Payload) -> anyhow::Result<Duration> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(BOUND / BATCH);
    let start = Instant::now();
    let publishing = tokio::spawn(async move {
        for _ in 0..messages / BATCH {
            sender
                .send(payload.batch(BATCH))
                .await
                .ok()
                .context("the receiver is gone")?;
        }
        anyhow::Ok(())
    });
    let handling = tokio::spawn(async move {
        let mut seen = 0;
        while let Some(batch) = receiver.recv().await {
            for message in &batch {
                black_box(message.payload().len());
                seen += 1;
            }
        }
        seen
    });
    publishing.await??;
    ensure!(
        handling.await? == messages / BATCH * BATCH,
        "the channel lost messages"
    );
    Ok(start.elapsed())
}

pub(super) async fn flume_singles(
    messages: usize,
    tasks: usize,
    payload: Payload,
) -> anyhow::Result<Duration> {
    let (sender, receiver) = flume::bounded(BOUND);
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    sender.send_async(payload.message()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    drop(sender);
    let handling: Vec<_> = (0..tasks)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                let mut seen = 0;
                while let Ok(message) = receiver.recv_async().await {
                    black_box(message.payload().len());
                    seen += 1;
                }
                seen
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    let mut seen = 0;
    for handler in handling {
        seen += handler.await?;
    }
    ensure!(seen == messages / tasks * tasks, "the channel lost messages");
    Ok(start.elapsed())
}

pub(super) async fn tokio_singles(messages: usize, payload: Payload) -> anyhow::Result<Duration> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(BOUND);
    let start = Instant::now();
    let publishing = tokio::spawn(async move {
        for _ in 0..messages {
            sender
                .send(payload.message())
                .await
                .ok()
                .context("the receiver is gone")?;
        }
        anyhow::Ok(())
    });
    let handling = tokio::spawn(async move {
        let mut seen = 0;
        while let Some(message) = receiver.recv().await {
            black_box(message.payload().len());
            seen += 1;
        }
        seen
    });
    publishing.await??;
    ensure!(handling.await? == messages, "the channel lost messages");
    Ok(start.elapsed())
}
