//! Kafka: four partitions, nothing synced to disk by itself.

use std::time::Duration;

use ::mq_bridge::models::EndpointType;
use anyhow::{Result, ensure};
use broker_bench::kafka::topics::Topics;
use broker_bench::kafka::{BATCH, DEPTH, fill, framework, latency, raw};

use crate::clients::kafka::{MqBridge, Place, Ruststream, SeaStreamer};
use crate::contest::{Entrant, Latencies, Run, Task};
use crate::engines;
use crate::libraries::{Client, Library};
use crate::work::{self, Clock, Way};

/// Messages that lie in the topic that all read.
const FILLED: usize = 600_000;

/// The name that `fill` gives it.
const TOPIC: &str = "filled";

/// The most messages of one read.
const READ: usize = 1000;

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// Why omniqueue takes no part.
const ABSENT: &str = "has no provider for Kafka";

/// Fills the topic that all read.
pub fn prepare(servers: &str) -> Result<()> {
    fill(&Topics::new(servers)?, FILLED)?;
    Ok(())
}

/// What is measured on the broker at `servers`.
pub fn tasks(servers: &str) -> Vec<Task> {
    vec![
        Task::new(
            "publish_one",
            "publish one by one, each awaited",
            10_000,
            publishing(servers, Way::Singles(1)),
        ),
        Task::new(
            "publish_tasks",
            "publish one by one from each of 1,000 tasks",
            300_000,
            publishing(servers, Way::Singles(TASKS)),
        ),
        Task::new(
            "publish_batch",
            "publish 1,000 at once, ten times in flight",
            500_000,
            publishing(servers, Way::Batches(BATCH, DEPTH)),
        ),
        Task::new(
            "read",
            "read 1,000 and acknowledge each",
            FILLED,
            reading(servers),
        ),
        Task::new(
            "engine",
            "from the server to a handler and its acknowledgement",
            FILLED,
            engines(servers),
        ),
    ]
}

fn publishing(servers: &str, way: Way) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, servers, move |servers, messages| {
            in_a_topic(servers, messages, async move |place: &Place| match way {
                Way::Singles(tasks) => {
                    raw::publish_singles(&place.servers, &place.topic, messages, tasks).await
                }
                Way::Batches(..) => raw::publish_batches(&place.servers, &place.topic, messages).await,
            })
        })
        .remark(match way {
            Way::Singles(_) => "FutureProducer",
            Way::Batches(..) => "ThreadedProducer, one counter for each batch",
        }),
        Entrant::at(Library::Broker, servers, move |servers, messages| {
            in_a_topic(servers, messages, async move |place: &Place| match way {
                Way::Singles(tasks) => {
                    framework::publish_singles(&place.servers, &place.topic, messages, tasks).await
                }
                Way::Batches(..) => framework::publish_batches(&place.servers, &place.topic, messages).await,
            })
        }),
        publish_by::<SeaStreamer>(servers, way),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        publish_by::<MqBridge>(servers, way),
        publish_by::<Ruststream>(servers, way),
    ]
}

fn publish_by<C: Client>(servers: &str, way: Way) -> Entrant<Run> {
    let entrant = Entrant::at(C::LIBRARY, servers, move |servers, messages| {
        in_a_topic(servers, messages, async move |place: &Place| {
            let publisher = C::publisher(&place.to_text()).await?;
            // The first message brings connections and metadata.
            work::publish_singles(publisher.clone(), 1, 1).await?;
            work::publish(publisher, messages, way).await
        })
    });
    match (way, C::LIBRARY) {
        (Way::Batches(..), Library::SeaStreamer | Library::Ruststream) => {
            entrant.remark("no batch call: 1,000 calls at once")
        }
        _ => entrant,
    }
}

/// Makes a topic for what is published, and looks that all of it is there.
async fn in_a_topic(
    servers: String,
    messages: usize,
    work: impl AsyncFnOnce(&Place) -> Result<Duration>,
) -> Result<Duration> {
    let place = Place::new(&servers, None);
    let topics = Topics::new(&place.servers)?;
    topics.create(&place.topic).await?;
    let took = work(&place).await?;
    let count = raw::count(&place.servers, &place.topic)?;
    ensure!(
        count == messages + 1,
        "{count} of {} messages are there",
        messages + 1
    );
    topics.delete(&place.topic).await?;
    Ok(took)
}

fn reading(servers: &str) -> Vec<Entrant<Run>> {
    vec![
        by_hand(servers).remark("the client stores the offsets by itself"),
        Entrant::at(Library::Broker, servers, async |servers, messages| {
            let place = Place::new(&servers, Some(TOPIC));
            framework::read(&servers, TOPIC, &place.group, messages, true).await
        }),
        read_by::<SeaStreamer>(servers).remark("one message a call"),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        read_by::<MqBridge>(servers),
        read_by::<Ruststream>(servers),
    ]
}

fn by_hand(servers: &str) -> Entrant<Run> {
    Entrant::at(Library::Raw, servers, async |servers, messages| {
        let place = Place::new(&servers, Some(TOPIC));
        raw::read(&servers, TOPIC, &place.group, messages, true).await
    })
}

fn read_by<C: Client>(servers: &str) -> Entrant<Run> {
    Entrant::at(C::LIBRARY, servers, async |servers, messages| {
        let place = Place::new(&servers, Some(TOPIC));
        let reader = C::reader(&place.to_text()).await?;
        work::read(reader, messages, READ, Clock::FirstMessage).await
    })
}

fn engines(servers: &str) -> Vec<Entrant<Run>> {
    vec![
        by_hand(servers).remark("read by hand"),
        Entrant::at(Library::Broker, servers, async |servers, messages| {
            let place = Place::new(&servers, Some(TOPIC));
            let brokers = framework::connect(&servers, &[]).await?;
            engines::broker(brokers, TOPIC, &place.group, messages).await
        }),
        Entrant::cannot(Library::SeaStreamer, "has no engine"),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        Entrant::at(Library::MqBridge, servers, async |servers, messages| {
            let config = MqBridge::config(&Place::new(&servers, Some(TOPIC)));
            engines::mq_bridge(EndpointType::Kafka(config), messages).await
        }),
        Entrant::at(Library::Ruststream, servers, async |servers, messages| {
            Ruststream::engine(&Place::new(&servers, Some(TOPIC)), messages).await
        }),
    ]
}

/// Who takes part in the measurement of latency, nothing waiting for more to send at once.
pub fn latencies(servers: &str) -> Vec<Entrant<Latencies>> {
    vec![
        Entrant::latencies(Library::Raw, servers, |servers| {
            latency::through_raw(&Topics::new(servers)?)
        }),
        Entrant::latencies(Library::Broker, servers, |servers| {
            latency::through_framework(&Topics::new(servers)?)
        }),
        latency_of::<SeaStreamer>(servers),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        latency_of::<MqBridge>(servers),
        latency_of::<Ruststream>(servers),
    ]
}

fn latency_of<C: Client>(servers: &str) -> Entrant<Latencies> {
    Entrant::latencies_of(C::LIBRARY, servers, async |servers| {
        let mut place = Place::new(&servers, None);
        place.linger = "0";
        let topics = Topics::new(&place.servers)?;
        topics.create(&place.topic).await?;
        let text = place.to_text();
        let latencies = work::latency(C::publisher(&text).await?, C::reader(&text).await?).await?;
        topics.delete(&place.topic).await?;
        Ok(latencies)
    })
}
