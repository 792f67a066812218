//! Kafka: four partitions, nothing synced to disk by itself.

use std::time::Duration;

use ::mq_bridge::endpoints::kafka::{KafkaConsumer as BridgeConsumer, KafkaPublisher as BridgePublisher};
use ::mq_bridge::models::{EndpointType, KafkaConfig};
use ::ruststream::Broker as _;
use ::ruststream::runtime::{AppInfo, RustStream, subscriber};
use anyhow::{Context, Result, ensure};
use broker_bench::kafka::topics::Topics;
use broker_bench::kafka::{BATCH, DEPTH, TUNED, fill, framework, latency, raw};
use ruststream_rdkafka::{
    Commit, KafkaBroker, KafkaPublish, KafkaPublisher, KafkaSubscriber, KafkaTopic, StartOffset,
};
use sea_streamer_kafka::{AutoOffsetReset, KafkaConsumerOptions, KafkaProducerOptions, KafkaStreamer};
use sea_streamer_types::{ConsumerGroup, ConsumerMode, ConsumerOptions as _, StreamKey, Streamer as _};

use crate::contest::{Entrant, Latencies, Run, Task, on_a_runtime};
use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge, ruststream, sea_streamer};
use crate::work::{self, Clock};

/// Messages that lie in the topic that all read.
const FILLED: usize = 600_000;

/// The most messages of one read.
const READ: usize = 1000;

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// Why omniqueue takes no part.
const ABSENT: &str = "has no provider for Kafka";

/// How messages are published.
#[derive(Clone, Copy)]
enum Way {
    /// One by one, by so many tasks.
    Singles(usize),
    Batches,
}

/// Where one library does one piece of work.
struct Place {
    servers: String,
    topic: String,
    group: String,
    linger: &'static str,
}

impl Place {
    /// A topic of its own on the servers, or the one that is filled, and a group of its own.
    fn new(servers: &str, topic: Option<&str>) -> Self {
        Self {
            servers: servers.to_owned(),
            topic: topic.map_or_else(|| format!("bench-{}", fastrand::u64(..)), str::to_owned),
            group: fastrand::u64(..).to_string(),
            linger: "1",
        }
    }

    /// What raw producers are tuned with.
    fn producer(&self) -> [(&'static str, &'static str); 4] {
        [
            ("enable.idempotence", "true"),
            ("linger.ms", self.linger),
            ("batch.num.messages", "100000"),
            ("queue.buffering.max.messages", "1000000"),
        ]
    }

    /// As one text, and back.
    fn to_text(&self) -> String {
        [&self.servers, &self.topic, &self.group, self.linger].join(" ")
    }

    fn from_text(text: &str) -> Result<Self> {
        let mut parts = text.split(' ').map(str::to_owned);
        let mut next = || parts.next().context("a place has four parts");
        Ok(Self {
            servers: next()?,
            topic: next()?,
            group: next()?,
            linger: if next()? == "0" { "0" } else { "1" },
        })
    }
}

/// Fills the topic that all read.
pub fn prepare(servers: &str) -> Result<()> {
    fill(&Topics::new(servers)?, FILLED)?;
    Ok(())
}

/// The name that `fill` gives it.
const TOPIC: &str = "filled";

/// What is measured on the broker at `servers`.
pub fn tasks(servers: &str) -> Vec<Task> {
    let task = |name, title, most, entrants| Task {
        name,
        title,
        most,
        entrants,
    };
    vec![
        task(
            "publish_one",
            "publish one by one, each awaited",
            10_000,
            publishing(servers, Way::Singles(1)),
        ),
        task(
            "publish_tasks",
            "publish one by one from each of 1,000 tasks",
            300_000,
            publishing(servers, Way::Singles(TASKS)),
        ),
        task(
            "publish_batch",
            "publish 1,000 at once, ten times in flight",
            500_000,
            publishing(servers, Way::Batches),
        ),
        task(
            "read",
            "read 1,000 and acknowledge each",
            FILLED,
            reading(servers),
        ),
        task(
            "engine",
            "from the server to a handler and its acknowledgement",
            FILLED,
            engines(servers),
        ),
    ]
}

fn publishing(servers: &str, way: Way) -> Vec<Entrant<Run>> {
    let [first, second] = [servers; 2].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let place = Place::new(&first, None);
            in_a_topic(place, messages, async move |place: &Place| match way {
                Way::Singles(tasks) => {
                    raw::publish_singles(&place.servers, &place.topic, messages, tasks).await
                }
                Way::Batches => raw::publish_batches(&place.servers, &place.topic, messages).await,
            })
        })
        .remark(match way {
            Way::Singles(_) => "FutureProducer",
            Way::Batches => "ThreadedProducer, one counter for each batch",
        }),
        Entrant::new(Library::Broker, move |messages| {
            let place = Place::new(&second, None);
            in_a_topic(place, messages, async move |place: &Place| match way {
                Way::Singles(tasks) => {
                    framework::publish_singles(&place.servers, &place.topic, messages, tasks).await
                }
                Way::Batches => framework::publish_batches(&place.servers, &place.topic, messages).await,
            })
        }),
        publish_by::<SeaStreamer>(servers, way),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        publish_by::<MqBridge>(servers, way),
        publish_by::<Ruststream>(servers, way),
    ]
}

fn publish_by<C: Client>(servers: &str, way: Way) -> Entrant<Run> {
    let servers = servers.to_owned();
    let entrant = Entrant::new(C::LIBRARY, move |messages| {
        let place = Place::new(&servers, None);
        in_a_topic(place, messages, async move |place: &Place| {
            let publisher = C::publisher(&place.to_text()).await?;
            // The first message brings connections and metadata.
            work::publish_singles(publisher.clone(), 1, 1).await?;
            match way {
                Way::Singles(tasks) => work::publish_singles(publisher, messages, tasks).await,
                Way::Batches => work::publish_batches(publisher, messages, BATCH, DEPTH).await,
            }
        })
    });
    match (way, C::LIBRARY) {
        (Way::Batches, Library::SeaStreamer | Library::Ruststream) => {
            entrant.remark("no batch call: 1,000 calls at once")
        }
        _ => entrant,
    }
}

/// Makes a topic for what is published, and looks that all of it is there.
async fn in_a_topic(
    place: Place,
    messages: usize,
    work: impl AsyncFnOnce(&Place) -> Result<Duration>,
) -> Result<Duration> {
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
    let [first, second] = [servers; 2].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let place = Place::new(&first, Some(TOPIC));
            async move { raw::read(&place.servers, TOPIC, &place.group, messages, true).await }
        })
        .remark("the client stores the offsets by itself"),
        Entrant::new(Library::Broker, move |messages| {
            let place = Place::new(&second, Some(TOPIC));
            async move { framework::read(&place.servers, TOPIC, &place.group, messages, true).await }
        }),
        read_by::<SeaStreamer>(servers).remark("one message a call"),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        read_by::<MqBridge>(servers),
        read_by::<Ruststream>(servers),
    ]
}

fn read_by<C: Client>(servers: &str) -> Entrant<Run> {
    let servers = servers.to_owned();
    Entrant::new(C::LIBRARY, move |messages| {
        let place = Place::new(&servers, Some(TOPIC));
        async move {
            let reader = C::reader(&place.to_text()).await?;
            work::read(reader, messages, READ, Clock::FirstMessage).await
        }
    })
}

fn engines(servers: &str) -> Vec<Entrant<Run>> {
    let [first, second, third, fourth] = [servers; 4].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let place = Place::new(&first, Some(TOPIC));
            async move { raw::read(&place.servers, TOPIC, &place.group, messages, true).await }
        })
        .remark("read by hand"),
        Entrant::new(Library::Broker, move |messages| {
            let place = Place::new(&second, Some(TOPIC));
            async move {
                let brokers = framework::connect(&place.servers, &[], true).await?;
                engines::broker(brokers, TOPIC, &place.group, messages).await
            }
        }),
        Entrant::cannot(Library::SeaStreamer, "has no engine"),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        Entrant::new(Library::MqBridge, move |messages| {
            let config = MqBridge::config(&Place::new(&third, Some(TOPIC)));
            engines::mq_bridge(EndpointType::Kafka(config), messages)
        }),
        Entrant::new(Library::Ruststream, move |messages| {
            let place = Place::new(&fourth, Some(TOPIC));
            async move { Ruststream::engine(&place, messages).await }
        }),
    ]
}

/// Who takes part in the measurement of latency, nothing waiting for more to send at once.
pub fn latencies(servers: &str) -> Vec<Entrant<Latencies>> {
    let topics = |servers: &str| {
        let servers = servers.to_owned();
        move || Topics::new(&servers)
    };
    let (first, second) = (topics(servers), topics(servers));
    vec![
        Entrant::latencies(Library::Raw, move || latency::through_raw(&first()?)),
        Entrant::latencies(Library::Broker, move || latency::through_framework(&second()?)),
        latency_of::<SeaStreamer>(servers),
        Entrant::cannot(Library::Omniqueue, ABSENT),
        latency_of::<MqBridge>(servers),
        latency_of::<Ruststream>(servers),
    ]
}

fn latency_of<C: Client>(servers: &str) -> Entrant<Latencies> {
    let servers = servers.to_owned();
    Entrant::latencies(C::LIBRARY, move || {
        let mut place = Place::new(&servers, None);
        place.linger = "0";
        on_a_runtime(async move {
            let topics = Topics::new(&place.servers)?;
            topics.create(&place.topic).await?;
            let text = place.to_text();
            let latencies = work::latency(C::publisher(&text).await?, C::reader(&text).await?).await?;
            topics.delete(&place.topic).await?;
            Ok(latencies)
        })
    })
}

struct SeaStreamer;

impl SeaStreamer {
    async fn connect(place: &Place) -> Result<(KafkaStreamer, StreamKey)> {
        let uri = format!("kafka://{}", place.servers).parse()?;
        let streamer = KafkaStreamer::connect(uri, Default::default()).await?;
        Ok((streamer, StreamKey::new(&place.topic)?))
    }
}

impl Client for SeaStreamer {
    const LIBRARY: Library = Library::SeaStreamer;
    type Publisher = sea_streamer::KafkaPublisher;
    type Reader = sea_streamer::KafkaReader;

    async fn publisher(place: &str) -> Result<Self::Publisher> {
        let place = Place::from_text(place)?;
        let (streamer, topic) = Self::connect(&place).await?;
        let mut options = KafkaProducerOptions::default();
        for (key, value) in place.producer() {
            options.add_custom_option(key, value);
        }
        let producer = streamer.create_producer(topic, options).await?;
        Ok(sea_streamer::KafkaPublisher::new(producer))
    }

    async fn reader(place: &str) -> Result<Self::Reader> {
        let place = Place::from_text(place)?;
        let (streamer, topic) = Self::connect(&place).await?;
        let mut options = KafkaConsumerOptions::new(ConsumerMode::LoadBalanced);
        options.set_consumer_group(ConsumerGroup::new(&place.group))?;
        options.set_auto_offset_reset(AutoOffsetReset::Earliest);
        options.set_enable_auto_offset_store(false);
        for (key, value) in TUNED {
            options.add_custom_option(*key, *value);
        }
        Ok(sea_streamer::KafkaReader(
            streamer.create_consumer(&[topic], options).await?,
        ))
    }
}

struct MqBridge;

impl MqBridge {
    fn config(place: &Place) -> KafkaConfig {
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Some(pairs.collect())
        };
        KafkaConfig {
            url: place.servers.clone(),
            topic: Some(place.topic.clone()),
            group_id: Some(place.group.clone()),
            create_topic: Some(false),
            producer_options: pairs(&place.producer()),
            consumer_options: pairs(TUNED),
            ..Default::default()
        }
    }
}

impl Client for MqBridge {
    const LIBRARY: Library = Library::MqBridge;
    type Publisher = bridge::Publisher;
    type Reader = bridge::Reader;

    async fn publisher(place: &str) -> Result<Self::Publisher> {
        let config = Self::config(&Place::from_text(place)?);
        Ok(bridge::Publisher::new(BridgePublisher::new(&config).await?))
    }

    async fn reader(place: &str) -> Result<Self::Reader> {
        let config = Self::config(&Place::from_text(place)?);
        Ok(bridge::Reader::new(BridgeConsumer::new(&config).await?))
    }
}

struct Ruststream;

impl Ruststream {
    fn broker(place: &Place) -> KafkaBroker {
        let broker = KafkaBroker::new([place.servers.as_str()]);
        let pairs = place.producer().into_iter();
        pairs.fold(broker, |broker, (key, value)| broker.producer_config(key, value))
    }

    fn topic(place: &Place) -> KafkaTopic {
        let topic = KafkaTopic::new(&place.topic)
            .group(&place.group)
            .start(StartOffset::Earliest)
            .commit(Commit::Tracked);
        TUNED
            .iter()
            .fold(topic, |topic, (key, value)| topic.config(*key, *value))
    }

    async fn engine(place: &Place, messages: usize) -> Result<Duration> {
        let latch = engines::Latch::new(messages);
        let handler = engines::Look(latch.clone());
        let app = RustStream::new(AppInfo::new("bench", "0.1.0"));
        let app = app.with_broker(Self::broker(place), |b| {
            b.include(subscriber(Self::topic(place), handler).build());
        });
        let running = app.start().await?;
        latch.wait().await;
        let took = latch.since_first()?;
        running.shutdown().await?;
        Ok(took)
    }
}

impl Client for Ruststream {
    const LIBRARY: Library = Library::Ruststream;
    type Publisher = ruststream::Publisher<KafkaPublisher>;
    type Reader = ruststream::Reader<KafkaSubscriber>;

    async fn publisher(place: &str) -> Result<Self::Publisher> {
        let place = Place::from_text(place)?;
        let broker = Self::broker(&place).connect().await?;
        let publisher = broker.publisher(KafkaPublish::default());
        Ok(ruststream::Publisher::new(publisher, &place.topic))
    }

    async fn reader(place: &str) -> Result<Self::Reader> {
        let place = Place::from_text(place)?;
        let broker = Self::broker(&place).connect().await?;
        Ok(ruststream::Reader(
            broker.subscribe_with(Self::topic(&place)).await?,
        ))
    }
}
