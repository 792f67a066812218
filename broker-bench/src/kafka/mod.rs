//! Kafka beside the raw client, on a private broker.

pub mod framework;
pub mod latency;
mod memory;
pub mod raw;
pub mod topics;
mod work;

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use broker_testkit::servers::KafkaConfig;
use clap::ValueEnum;

pub use memory::alone;
use topics::Topics;
use work::KafkaWork;

use crate::payload::Payload;
use crate::report::Report;
use crate::rounds::{self, Case as _, Throughput};

/// Messages of one published batch.
pub const BATCH: usize = 1000;

/// Batches in flight.
pub const DEPTH: usize = 10;

/// What a consumer of small messages needs to be quick: librdkafka's defaults let it starve between fetches.
pub const TUNED: &[(&str, &str)] = &[
    ("queued.min.messages", "1000000"),
    ("fetch.queue.backoff.ms", "5"),
];

/// What is measured; all of it unless one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Messages per second.
    Throughput,
    /// Latency at a steady rate.
    Latency,
    /// The most memory that each reader takes.
    Memory,
}

/// Where a piece of work is done.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    servers: String,
    /// An empty topic of its own.
    topic: String,
    /// A topic that holds all the messages.
    filled: String,
    messages: usize,
}

/// Measures on a private broker, which syncs nothing by itself.
pub fn measure(
    report: &mut Report,
    part: Option<Part>,
    only: &str,
    rounds: usize,
    messages: usize,
) -> anyhow::Result<()> {
    let server = KafkaConfig::new()
        .line("log.segment.delete.delay.ms=100")
        .line("offsets.topic.num.partitions=1")
        .start()?;
    report.server = Some(server.version().to_string());
    let topics = Topics::new(&server.bootstrap_servers())?;
    let messages = (messages / (BATCH * DEPTH)).max(1) * BATCH * DEPTH;
    let wanted = |one| part.is_none_or(|part| part == one);
    if wanted(Part::Throughput) {
        report.throughput = throughput(&topics, only, rounds, messages)?;
    }
    if wanted(Part::Latency) {
        report.latency = latency::measure(&topics, rounds)?;
    }
    if wanted(Part::Memory) {
        report.memory = memory::measure(&topics, only, messages)?;
    }
    Ok(())
}

/// Messages per second of every case whose name contains `only`, and of those they are compared with.
fn throughput(
    topics: &Topics,
    only: &str,
    rounds: usize,
    messages: usize,
) -> anyhow::Result<Vec<Throughput>> {
    let named = |work: &KafkaWork| work.name().contains(only);
    let wanted: Vec<_> = KafkaWork::ALL.into_iter().filter(named).collect();
    let compared = |work: &KafkaWork| {
        wanted
            .iter()
            .any(|own| own.beside().is_some_and(|(raw, _)| raw == *work))
    };
    let cases: Vec<_> = KafkaWork::ALL
        .into_iter()
        .filter(|work| named(work) || compared(work))
        .collect();
    let filled = match cases.iter().any(|work| work.reads()) {
        true => fill(topics, messages)?,
        false => String::new(),
    };
    let number = AtomicUsize::new(0);
    rounds::measure(&cases, rounds, |work| {
        let topic = format!("bench-{}", number.fetch_add(1, Ordering::Relaxed));
        let (topics, filled) = (topics.clone(), filled.clone());
        async move {
            if work.reads() {
                return work.run(topics.place(topic, filled, messages)).await;
            }
            topics.create(&topic).await?;
            let done = work.run(topics.place(topic.clone(), filled, messages)).await?;
            let (count, asked) = (raw::count(topics.servers(), &topic)?, done.0 + work.ahead());
            ensure!(count == asked, "{count} of {asked} messages are there");
            topics.delete(&topic).await?;
            Ok(done)
        }
    })
}

/// A topic with `messages` messages.
pub fn fill(topics: &Topics, messages: usize) -> anyhow::Result<String> {
    let topic = "filled".to_owned();
    rounds::runtime()?.block_on(async {
        topics.create(&topic).await?;
        let producer = raw::counting(topics.servers())?;
        for _ in 0..messages / BATCH {
            raw::publish(&producer, &topic, &Payload::Own.batch(BATCH)).await?;
        }
        Ok(topic)
    })
}
