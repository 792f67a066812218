//! The pieces of work, written once for every library.

use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use broker_bench::latency::{messages, publishing, soon, taken};
use broker_bench::payload;
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::libraries::{Publish, Read, handed_over};

/// How messages are published.
#[derive(Clone, Copy)]
pub enum Way {
    /// One by one, by so many tasks.
    Singles(usize),
    /// So many at once, and so many of these in flight.
    Batches(usize, usize),
}

/// Publishes in one of the ways.
pub async fn publish(publisher: impl Publish, messages: usize, way: Way) -> Result<Duration> {
    match way {
        Way::Singles(tasks) => publish_singles(publisher, messages, tasks).await,
        Way::Batches(batch, depth) => publish_batches(publisher, messages, batch, depth).await,
    }
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(publisher: impl Publish, messages: usize, tasks: usize) -> Result<Duration> {
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    publisher.send(payload::bytes()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    Ok(start.elapsed())
}

/// Publishes in batches, `depth` of them in flight.
pub async fn publish_batches(
    publisher: impl Publish,
    messages: usize,
    batch: usize,
    depth: usize,
) -> Result<Duration> {
    let start = Instant::now();
    let batches = stream::iter(0..messages / batch).map(|_| {
        let payloads = (0..batch).map(|_| payload::bytes()).collect();
        publisher.send_batch(payloads)
    });
    batches.buffered(depth).try_for_each(async |()| Ok(())).await?;
    Ok(start.elapsed())
}

/// From when on the time of reading counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    AtOnce,
    /// From the first message on: where joining a group takes its time.
    FirstMessage,
}

/// Reads and acknowledges `messages`, `batch` at a time; each batch is acknowledged while the next is read.
pub async fn read(reader: impl Read, messages: usize, batch: usize, clock: Clock) -> Result<Duration> {
    let start = Instant::now();
    let first = read_all(reader, messages, batch).await?;
    Ok(match clock {
        Clock::AtOnce => start.elapsed(),
        Clock::FirstMessage => first.elapsed(),
    })
}

/// Answers when the first message was there.
async fn read_all(mut reader: impl Read, messages: usize, batch: usize) -> Result<Instant> {
    let mut first = None;
    let mut seen = 0;
    let mut last = handed_over();
    while seen < messages {
        let most = batch.min(messages - seen);
        let look = |payload: &[u8]| {
            black_box(payload.len());
        };
        let ((count, ack), ()) = try_join(reader.read(most, look), last).await?;
        first.get_or_insert_with(Instant::now);
        seen += count;
        last = ack;
    }
    last.await?;
    reader.settled().await?;
    first.context("nothing was asked for")
}

/// Publishes, and reads and acknowledges at the same time.
pub async fn hand_over(
    publishing: impl Future<Output = Result<Duration>> + Send + 'static,
    reader: impl Read,
    messages: usize,
    batch: usize,
) -> Result<Duration> {
    let start = Instant::now();
    let publishing = tokio::spawn(publishing);
    tokio::spawn(read_all(reader, messages, batch)).await??;
    publishing.await??;
    Ok(start.elapsed())
}

/// How long each message takes that is published when it is due.
pub async fn latency(publisher: impl Publish, mut reader: impl Read) -> Result<Vec<Duration>> {
    // Set-up is over when something came through.
    let warm = publisher.clone();
    let sending = tokio::spawn(async move { warm.send(payload::bytes()).await });
    let (_, ack) = reader.read(1, |_| ()).await?;
    ack.await?;
    sending.await??;
    let start = soon();
    let publishing = publishing(start, move |payload| {
        let publisher = publisher.clone();
        async move { publisher.send(payload).await }
    });
    let mut latencies = Vec::with_capacity(messages());
    let mut last = handed_over();
    while latencies.len() < messages() {
        let note = |payload: &[u8]| latencies.push(taken(start, payload));
        let ((_, ack), ()) = try_join(reader.read(100, note), last).await?;
        last = ack;
    }
    last.await?;
    reader.settled().await?;
    publishing.await?;
    latencies.into_iter().collect()
}
