//! The raw client at its best, written by hand: what belongs together is handed over before any of it is awaited, and
//! one ack stands for many.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::stream::{self, FuturesOrdered, StreamExt, TryStreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, PublisherConfirm};

use super::{EXCHANGE, QUEUE};
use crate::payload::Payload;

/// A connection with one channel, which confirms what is published by it.
pub async fn connect(url: &str) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Removes what waits in the queue; answers how much that was.
pub async fn purge(channel: &Channel) -> anyhow::Result<usize> {
    let count = channel
        .queue_purge(QUEUE.into(), QueuePurgeOptions::default())
        .await?;
    Ok(usize::try_from(count)?)
}

/// Hands a message to the connection, to be written to disk by the server.
fn hand_over<'a>(
    channel: &'a Channel,
    payload: &'a [u8],
) -> impl Future<Output = lapin::Result<PublisherConfirm>> + Send + 'a {
    channel.basic_publish(
        EXCHANGE.into(),
        EXCHANGE.into(),
        BasicPublishOptions::default(),
        payload,
        BasicProperties::default().with_delivery_mode(2),
    )
}

/// Publishes one message.
pub async fn publish(channel: &Channel, payload: &[u8]) -> anyhow::Result<()> {
    let confirmation = hand_over(channel, payload).await?.await?;
    ensure!(confirmation.is_ack(), "a message was refused");
    Ok(())
}

/// Publishes `count` messages at once.
async fn publish_batch(channel: &Channel, count: usize) -> anyhow::Result<usize> {
    let messages = Payload::Own.batch(count);
    let mut handed: FuturesOrdered<_> = messages
        .iter()
        .map(|message| hand_over(channel, message.payload()))
        .collect();
    let mut confirms = Vec::with_capacity(count);
    while let Some(confirm) = handed.next().await {
        confirms.push(confirm?);
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "a message was refused");
    }
    Ok(black_box(count))
}

/// Publishes in batches, `depth` of them in flight.
pub async fn publish_batches(
    url: &str,
    messages: usize,
    batch: usize,
    depth: usize,
) -> anyhow::Result<Duration> {
    let (connection, channel) = connect(url).await?;
    let start = Instant::now();
    fill(&channel, messages, batch, depth).await?;
    let took = start.elapsed();
    ensure!(purge(&channel).await? == messages, "messages were lost");
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Publishes `messages`.
pub async fn fill(channel: &Channel, messages: usize, batch: usize, depth: usize) -> anyhow::Result<()> {
    let batches = stream::iter(0..messages / batch).map(|_| publish_batch(channel, batch));
    batches
        .buffered(depth)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    Ok(())
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(url: &str, messages: usize, tasks: usize) -> anyhow::Result<Duration> {
    let (connection, channel) = connect(url).await?;
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    publish(&channel, Payload::Own.message().payload()).await?;
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
        purge(&channel).await? == messages / tasks * tasks,
        "messages were lost"
    );
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Lets the server send up to `prefetch` messages ahead.
pub async fn consume(channel: &Channel, prefetch: u16) -> anyhow::Result<Consumer> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(
            QUEUE.into(),
            "handler".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok(consumer)
}

/// Reads and acknowledges `messages` that lie there, `batch` with one ack.
pub async fn read(url: &str, messages: usize, batch: usize) -> anyhow::Result<Duration> {
    let (connection, channel) = connect(url).await?;
    let messages = messages.next_multiple_of(super::BATCH);
    fill(&channel, messages, super::BATCH, 8).await?;
    // One batch is on its way while the one before it is handled.
    let start = Instant::now();
    let mut consumer = consume(&channel, u16::try_from(2 * batch)?).await?;
    let mut seen = 0;
    while seen < messages {
        let delivery = consumer.next().await.context("the server sends no more")??;
        black_box(delivery.data.len());
        seen += 1;
        if seen % batch == 0 || seen == messages {
            acknowledge(&channel, delivery.delivery_tag).await?;
        }
    }
    // What follows on the channel is answered after the acks were taken.
    channel.basic_qos(0, BasicQosOptions::default()).await?;
    let took = start.elapsed();
    ensure!(purge(&channel).await? == 0, "messages were left over");
    connection.close(200, "bye".into()).await?;
    Ok(took)
}

/// Acknowledges all up to a tag, without a wait for the connection's turn.
pub async fn acknowledge(channel: &Channel, tag: u64) -> anyhow::Result<()> {
    let mut ack = std::pin::pin!(channel.basic_ack(tag, BasicAckOptions { multiple: true }));
    match poll_once(ack.as_mut()).await {
        Poll::Ready(answer) => Ok(answer?),
        Poll::Pending => Ok(()),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
