//! In process: no server, and a channel for the raw client.

use std::time::{Duration, Instant};

use ::mq_bridge::endpoints::memory::{MemoryConsumer, MemoryPublisher};
use ::mq_bridge::models::{EndpointType, MemoryConfig};
use ::omniqueue::backends::InMemoryBackend;
use ::ruststream::Broker as _;
use ::ruststream::Subscribe as _;
use ::ruststream::memory::MemoryBroker;
use anyhow::Result;
use broker_bench::payload::Payload;
use broker_bench::work::Work as Own;

use crate::contest::{Entrant, Run, Task};
use crate::engines;
use crate::libraries::{Library, Publish, Read, mq_bridge as bridge, omniqueue, ruststream};
use crate::work;

/// Messages of one batch, and the most of one read.
const BATCH: usize = 100;

/// Messages that a bounded channel holds.
const BOUND: usize = 10_000;

/// The stream.
const NAME: &str = "bench";

/// Why sea-streamer takes no part.
const STDIO: &str = "prints each message, and reads without acknowledging";

/// What is measured in process.
pub fn tasks() -> Vec<Task> {
    vec![
        Task {
            name: "publish_one",
            title: "publish one by one, read and acknowledge",
            most: 3_000_000,
            entrants: vec![
                own(Library::Raw, Own::FlumeSingle).remark("flume, bounded"),
                own(Library::Broker, Own::InlineSingle),
                Entrant::cannot(Library::SeaStreamer, STDIO),
                Entrant::new(Library::Omniqueue, async |messages| {
                    let (publisher, reader) = omniqueue().await?;
                    singles(publisher, reader, messages).await
                })
                .remark("unbounded, no redelivery"),
                Entrant::new(Library::MqBridge, async |messages| {
                    let (publisher, reader) = mq_bridge()?;
                    singles(publisher, reader, messages).await
                }),
                Entrant::new(Library::Ruststream, async |messages| {
                    let (publisher, reader) = ruststream().await?;
                    singles(publisher, reader, messages).await
                })
                .remark("unbounded"),
            ],
        },
        Task {
            name: "publish_batch",
            title: "publish 100 at once, read and acknowledge",
            most: 10_000_000,
            entrants: vec![
                own(Library::Raw, Own::FlumeBatch).remark("flume of vectors, bounded"),
                own(Library::Broker, Own::InlineBatch),
                Entrant::cannot(Library::SeaStreamer, STDIO),
                Entrant::cannot(Library::Omniqueue, "has no batches of its own in memory"),
                Entrant::new(Library::MqBridge, async |messages| {
                    let (publisher, reader) = mq_bridge()?;
                    let publishing = work::publish_batches(publisher, messages, BATCH, 1);
                    work::hand_over(publishing, reader, messages, BATCH).await
                }),
                Entrant::cannot(Library::Ruststream, "publishes no batches"),
            ],
        },
        Task {
            name: "engine",
            title: "publish one by one to a handler and its acknowledgement",
            most: 2_000_000,
            entrants: vec![
                own(Library::Raw, Own::FlumeSingle).remark("flume, read by hand"),
                own(Library::Broker, Own::EngineSingle),
                Entrant::cannot(Library::SeaStreamer, "has no engine"),
                Entrant::cannot(Library::Omniqueue, "has no engine"),
                Entrant::new(Library::MqBridge, mq_bridge_engine),
                Entrant::new(Library::Ruststream, ruststream_engine).remark("unbounded"),
            ],
        },
    ]
}

fn own(library: Library, own: Own) -> Entrant<Run> {
    Entrant::new(library, move |messages| own.run(messages, Payload::Own))
}

async fn singles(publisher: impl Publish, reader: impl Read, messages: usize) -> Result<Duration> {
    work::hand_over(
        work::publish_singles(publisher, messages, 1),
        reader,
        messages,
        BATCH,
    )
    .await
}

async fn omniqueue() -> Result<(impl Publish, impl Read)> {
    let (producer, consumer) = InMemoryBackend::builder().build_pair().await?;
    Ok((omniqueue::Publisher::new(producer), omniqueue::Reader(consumer)))
}

/// A topic of its own each time: its channels stay for the life of the process.
fn topic() -> MemoryConfig {
    MemoryConfig {
        topic: format!("{NAME}-{}", fastrand::u64(..)),
        capacity: Some(BOUND),
        ..Default::default()
    }
}

fn mq_bridge() -> Result<(impl Publish, impl Read)> {
    let topic = topic();
    let publisher = MemoryPublisher::new(&topic)?;
    Ok((
        bridge::Publisher::new(publisher),
        bridge::Reader::new(MemoryConsumer::new(&topic)?),
    ))
}

async fn ruststream() -> Result<(impl Publish, impl Read)> {
    let broker = MemoryBroker::new().connect().await?;
    let publisher = ruststream::Publisher::new(broker.publisher(), NAME);
    Ok((publisher, ruststream::Reader(broker.subscribe(NAME).await?)))
}

async fn mq_bridge_engine(messages: usize) -> Result<Duration> {
    let topic = topic();
    let publisher = bridge::Publisher::new(MemoryPublisher::new(&topic)?);
    let latch = engines::Latch::new(messages);
    let running = engines::route(EndpointType::Memory(topic), &latch)
        .run(NAME)
        .await?;
    let start = Instant::now();
    work::publish_singles(publisher, messages, 1).await?;
    latch.wait().await;
    let took = start.elapsed();
    running.stop().await;
    running.join().await?;
    Ok(took)
}

async fn ruststream_engine(messages: usize) -> Result<Duration> {
    let broker = MemoryBroker::new();
    let publisher = ruststream::Publisher::new(broker.publisher(), NAME);
    let latch = engines::Latch::new(messages);
    let running = engines::ruststream_in_memory(broker, NAME, &latch).await?;
    let start = Instant::now();
    work::publish_singles(publisher, messages, 1).await?;
    latch.wait().await;
    let took = start.elapsed();
    running.shutdown().await?;
    Ok(took)
}
