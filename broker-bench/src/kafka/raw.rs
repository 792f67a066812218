//! The raw client at its best, written by hand: batches awaited by one shared counter each, a consumer tuned for small
//! messages whose client stores the offsets by itself. Publishing is idempotent here too.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::Message;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, FutureProducer, FutureRecord, Producer, ProducerContext, ThreadedProducer,
};
use tokio::sync::Notify;

use super::{BATCH, DEPTH};
use crate::payload::Payload;

/// How long closing and asking may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the confirmations of one batch.
pub struct Awaited {
    open: AtomicUsize,
    failed: AtomicBool,
    done: Notify,
}

/// Hands confirmations to their batches.
pub struct Counting;

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = Arc<Awaited>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Awaited>) {
        if result.is_err() {
            batch.failed.store(true, Ordering::Relaxed);
        }
        if batch.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            batch.done.notify_one();
        }
    }
}

/// What a client needs to connect.
pub fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

/// A producer whose confirmations are counted by batch.
pub fn counting(servers: &str) -> anyhow::Result<ThreadedProducer<Counting>> {
    Ok(publishing(servers).create_with_context(Counting)?)
}

/// As safe as the framework's publishing, with room for what is in flight.
fn publishing(servers: &str) -> ClientConfig {
    let mut config = config(servers);
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "1000000");
    config
}

/// Publishes one batch and waits until all of it is confirmed.
pub async fn publish(
    producer: &ThreadedProducer<Counting>,
    topic: &str,
    batch: &[Message],
) -> anyhow::Result<usize> {
    let awaited = Arc::new(Awaited {
        open: AtomicUsize::new(batch.len()),
        failed: AtomicBool::new(false),
        done: Notify::new(),
    });
    for message in batch {
        let payload = message.payload().as_ref();
        let mut record =
            BaseRecord::<(), [u8], _>::with_opaque_to(topic, Arc::clone(&awaited)).payload(payload);
        while let Err((error, refused)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            ensure!(error == full, "a message was refused: {error}");
            record = refused;
            tokio::task::yield_now().await;
        }
    }
    if !batch.is_empty() {
        awaited.done.notified().await;
    }
    ensure!(
        !awaited.failed.load(Ordering::Acquire),
        "a message was not stored"
    );
    Ok(batch.len())
}

/// Publishes in batches, several of them in flight.
pub async fn publish_batches(servers: &str, topic: &str, messages: usize) -> anyhow::Result<Duration> {
    let producer = counting(servers)?;
    // The first message brings connections and metadata.
    publish(&producer, topic, &Payload::Own.batch(1)).await?;
    let start = Instant::now();
    let batches = stream::iter(0..messages / BATCH)
        .map(|_| async { publish(&producer, topic, &Payload::Own.batch(BATCH)).await });
    batches
        .buffered(DEPTH)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    let took = start.elapsed();
    producer.flush(PATIENCE)?;
    Ok(took)
}

/// Publishes with a future for each message, as many of them in flight as the batches have messages.
pub async fn publish_futures(servers: &str, topic: &str, messages: usize) -> anyhow::Result<Duration> {
    let producer: FutureProducer = publishing(servers).create()?;
    send(&producer, topic).await?;
    let start = Instant::now();
    let sends = stream::iter(0..messages).map(|_| send(&producer, topic));
    sends
        .buffered(BATCH * DEPTH)
        .try_fold((), |(), ()| async move { Ok(()) })
        .await?;
    let took = start.elapsed();
    producer.flush(PATIENCE)?;
    Ok(took)
}

/// Publishes one by one from each of `tasks` tasks.
pub async fn publish_singles(
    servers: &str,
    topic: &str,
    messages: usize,
    tasks: usize,
) -> anyhow::Result<Duration> {
    let producer: FutureProducer = publishing(servers).create()?;
    send(&producer, topic).await?;
    let start = Instant::now();
    let publishing: Vec<_> = (0..tasks)
        .map(|_| {
            let (producer, topic) = (producer.clone(), topic.to_owned());
            tokio::spawn(async move {
                for _ in 0..messages / tasks {
                    send(&producer, &topic).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await??;
    }
    let took = start.elapsed();
    producer.flush(PATIENCE)?;
    Ok(took)
}

async fn send(producer: &FutureProducer, topic: &str) -> anyhow::Result<()> {
    let message = Payload::Own.message();
    let record = FutureRecord::<(), [u8]>::to(topic).payload(message.payload());
    let sent = producer
        .send_result(record)
        .map_err(|(error, _)| error)
        .context("a message was refused")?;
    sent.await?.map_err(|(error, _)| error)?;
    Ok(())
}

/// A consumer whose client stores the offsets by itself, tuned for small messages or not.
pub fn consumer(servers: &str, group: &str, tuned: bool) -> anyhow::Result<StreamConsumer> {
    let mut config = config(servers);
    config.set("group.id", group).set("auto.offset.reset", "earliest");
    if tuned {
        for (key, value) in super::TUNED {
            config.set(*key, *value);
        }
    }
    Ok(config.create()?)
}

/// Reads `messages` that lie there; the clock starts with the first.
pub async fn read(
    servers: &str,
    topic: &str,
    group: &str,
    messages: usize,
    tuned: bool,
) -> anyhow::Result<Duration> {
    let consumer = consumer(servers, group, tuned)?;
    consumer.subscribe(&[topic])?;
    black_box(consumer.recv().await?.payload());
    let start = Instant::now();
    for _ in 1..messages {
        black_box(consumer.recv().await?.payload());
    }
    Ok(start.elapsed())
}

/// How many messages a topic holds.
pub fn count(servers: &str, topic: &str) -> anyhow::Result<usize> {
    let consumer: rdkafka::consumer::BaseConsumer = config(servers).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let topic_metadata = metadata.topics().first().context("the topic is not there")?;
    let mut sum = 0;
    for partition in topic_metadata.partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        sum += usize::try_from(high - low)?;
    }
    Ok(sum)
}
