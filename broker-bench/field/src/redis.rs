//! Redis Streams.

use std::time::Duration;

use anyhow::{Result, ensure};
use broker_bench::redis::{framework, latency, raw};
use mq_bridge::models::EndpointType;

use crate::clients::redis::{MqBridge, Omniqueue, READ, Ruststream, SeaStreamer};
use crate::contest::{Entrant, Latencies, Run, Task};
use crate::engines;
use crate::libraries::{Client, Library};
use crate::work::{self, Clock, Way};

/// Messages of one published batch.
const BATCH: usize = 100;

/// Batches in flight.
const DEPTH: usize = 4;

/// Tasks that publish one by one.
const TASKS: usize = 64;

/// What is measured on the server at `url`.
pub fn tasks(url: &str) -> Vec<Task> {
    vec![
        Task::new(
            "publish_one",
            "publish one by one, each awaited",
            100_000,
            publishing(url, Way::Singles(1)),
        ),
        Task::new(
            "publish_tasks",
            "publish one by one from each of 64 tasks",
            192_000,
            publishing(url, Way::Singles(TASKS)),
        ),
        Task::new(
            "publish_batch",
            "publish 100 at once, four times in flight",
            400_000,
            publishing(url, Way::Batches(BATCH, DEPTH)),
        ),
        Task::new("read", "read 100 and acknowledge each", 200_000, reading(url)),
        Task::new(
            "engine",
            "from the server to a handler and its acknowledgement",
            200_000,
            engines(url),
        ),
    ]
}

fn publishing(url: &str, way: Way) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, url, move |url, messages| async move {
            match way {
                Way::Singles(tasks) => raw::publish_singles(&url, messages, tasks).await,
                Way::Batches(_, depth) => raw::publish_batches(&url, messages, depth).await,
            }
        }),
        Entrant::at(Library::Broker, url, move |url, messages| async move {
            match way {
                Way::Singles(tasks) => framework::publish_singles(&url, messages, tasks).await,
                Way::Batches(_, depth) => framework::publish_batches(&url, messages, depth).await,
            }
        }),
        publish_by::<SeaStreamer>(url, way),
        publish_by::<Omniqueue>(url, way),
        publish_by::<MqBridge>(url, way),
        publish_by::<Ruststream>(url, way),
    ]
}

fn publish_by<C: Client>(url: &str, way: Way) -> Entrant<Run> {
    let entrant = Entrant::at(C::LIBRARY, url, move |url, messages| async move {
        let mut server = raw::connect(&url).await?;
        raw::clear(&mut server).await?;
        let took = work::publish(C::publisher(&url).await?, messages, way).await?;
        let messages = match way {
            Way::Singles(tasks) => messages / tasks * tasks,
            Way::Batches(..) => messages,
        };
        let count = raw::count(&mut server).await?;
        ensure!(count == messages, "{count} of {messages} messages are there");
        raw::clear(&mut server).await?;
        Ok(took)
    });
    match (way, C::LIBRARY) {
        (Way::Batches(..), Library::Omniqueue | Library::Ruststream) => {
            entrant.remark("no batch call: 100 calls at once")
        }
        _ => entrant,
    }
}

fn reading(url: &str) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, url, async |url, messages| {
            raw::read(&url, messages, READ).await
        }),
        Entrant::at(Library::Broker, url, async |url, messages| {
            framework::read(&url, messages, READ).await
        }),
        read_by::<SeaStreamer>(url),
        read_by::<Omniqueue>(url).remark("removes each as well; a round trip for each"),
        read_by::<MqBridge>(url),
        read_by::<Ruststream>(url),
    ]
}

fn read_by<C: Client>(url: &str) -> Entrant<Run> {
    Entrant::at(C::LIBRARY, url, async |url, messages| {
        fill::<C>(&url, messages).await?;
        let took = work::read(C::reader(&url).await?, messages, READ, Clock::AtOnce).await?;
        empty(&url).await?;
        Ok(took)
    })
}

/// Fills the stream by the library's own publisher, as each has a form of its own.
async fn fill<C: Client>(url: &str, messages: usize) -> Result<()> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    raw::make_group(&mut server).await?;
    work::publish_batches(C::publisher(url).await?, messages, BATCH, 8).await?;
    Ok(())
}

/// Looks that all was acknowledged, and removes it.
async fn empty(url: &str) -> Result<()> {
    let mut server = raw::connect(url).await?;
    let pending = raw::pending(&mut server).await?;
    ensure!(pending == 0, "{pending} messages were not acknowledged");
    raw::clear(&mut server).await
}

fn engines(url: &str) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, url, async |url, messages| {
            raw::read(&url, messages, 1000).await
        })
        .remark("read 1,000 by hand"),
        Entrant::at(Library::Broker, url, async |url, messages| {
            own_engine(&url, messages).await
        }),
        Entrant::cannot(Library::SeaStreamer, "has no engine"),
        Entrant::cannot(Library::Omniqueue, "has no engine"),
        Entrant::at(Library::MqBridge, url, async |url, messages| {
            fill::<MqBridge>(&url, messages).await?;
            let input = EndpointType::RedisStreams(MqBridge::config(&url));
            let took = engines::mq_bridge(input, messages).await?;
            empty(&url).await?;
            Ok(took)
        }),
        Entrant::at(Library::Ruststream, url, async |url, messages| {
            fill::<Ruststream>(&url, messages).await?;
            let took = Ruststream::engine(&url, messages).await?;
            empty(&url).await?;
            Ok(took)
        }),
    ]
}

/// Ours, with the settings it has by itself.
async fn own_engine(url: &str, messages: usize) -> Result<Duration> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    raw::fill(&server, messages, 8).await?;
    let config = broker::redis_streams::RedisStreamsConfig::new(url)?;
    let brokers = broker::Brokers::builder().default(config).build()?;
    let took = engines::broker(brokers, raw::STREAM, raw::GROUP, messages).await?;
    empty(url).await?;
    Ok(took)
}

/// Who takes part in the measurement of latency on the server at `url`.
pub fn latencies(url: &str) -> Vec<Entrant<Latencies>> {
    vec![
        Entrant::latencies(Library::Raw, url, latency::through_raw),
        Entrant::latencies(Library::Broker, url, latency::through_framework),
        latency_of::<SeaStreamer>(url),
        latency_of::<Omniqueue>(url),
        latency_of::<MqBridge>(url),
        latency_of::<Ruststream>(url),
    ]
}

fn latency_of<C: Client>(url: &str) -> Entrant<Latencies> {
    Entrant::latencies_of(C::LIBRARY, url, async |url| {
        let mut server = raw::connect(&url).await?;
        raw::clear(&mut server).await?;
        raw::make_group(&mut server).await?;
        let latencies = work::latency(C::publisher(&url).await?, C::reader(&url).await?).await?;
        raw::clear(&mut server).await?;
        Ok(latencies)
    })
}
