//! Redis Streams.

use std::time::Duration;

use ::omniqueue::backends::RedisBackend;
use ::omniqueue::backends::redis::{RedisConfig, RedisConnectionManager, RedisConsumer, RedisProducer};
use ::ruststream::Broker as _;
use ::ruststream::runtime::{AppInfo, RustStream, subscriber};
use anyhow::{Context, Result, ensure};
use broker_bench::redis::{framework, latency, raw};
use mq_bridge::endpoints::redis_streams::{RedisStreamsConsumer, RedisStreamsPublisher};
use mq_bridge::models::RedisStreamsConfig;
use ruststream_fred::pipeline::RedisPipelineSteps as _;
use ruststream_fred::{RedisBroker, RedisPublisher, RedisStream, RedisSubscriber, StreamStart};
use sea_streamer_redis::{AutoCommit, AutoStreamReset, RedisConsumerOptions, RedisStreamer};
use sea_streamer_types::{ConsumerGroup, ConsumerMode, ConsumerOptions as _, StreamKey, Streamer as _};

use crate::contest::{Entrant, Latencies, Run, Task};
use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge, omniqueue, ruststream, sea_streamer};
use crate::work::{self, Clock};

/// Messages of one batch.
const BATCH: usize = 100;

/// How many connections a pool may have.
const POOL: u16 = 16;

/// What is measured on the server at `url`.
pub fn tasks(url: &str) -> Vec<Task> {
    let own = url.to_owned();
    let of = move |raw: fn(String, usize) -> Took, framework: fn(String, usize) -> Took| {
        let (first, second) = (own.clone(), own.clone());
        vec![
            Entrant::new(Library::Raw, move |messages| raw(first.clone(), messages)),
            Entrant::new(Library::Broker, move |messages| {
                framework(second.clone(), messages)
            }),
        ]
    };
    let mut tasks = vec![
        Task {
            name: "publish_one",
            title: "publish one by one, each awaited",
            most: 100_000,
            entrants: of(
                |url, messages| Box::pin(async move { raw::publish_singles(&url, messages, 1).await }),
                |url, messages| Box::pin(async move { framework::publish_singles(&url, messages, 1).await }),
            ),
        },
        Task {
            name: "publish_tasks",
            title: "publish one by one from each of 64 tasks",
            most: 192_000,
            entrants: of(
                |url, messages| Box::pin(async move { raw::publish_singles(&url, messages, 64).await }),
                |url, messages| Box::pin(async move { framework::publish_singles(&url, messages, 64).await }),
            ),
        },
        Task {
            name: "publish_batch",
            title: "publish 100 at once, four times in flight",
            most: 400_000,
            entrants: of(
                |url, messages| Box::pin(async move { raw::publish_batches(&url, messages, 4).await }),
                |url, messages| Box::pin(async move { framework::publish_batches(&url, messages, 4).await }),
            ),
        },
        Task {
            name: "read",
            title: "read 100 and acknowledge each",
            most: 200_000,
            entrants: of(
                |url, messages| Box::pin(async move { raw::read(&url, messages, BATCH).await }),
                |url, messages| Box::pin(async move { framework::read(&url, messages, BATCH).await }),
            ),
        },
        Task {
            name: "engine",
            title: "from the server to a handler and its acknowledgement",
            most: 200_000,
            entrants: of(
                |url, messages| Box::pin(async move { raw::read(&url, messages, 1000).await }),
                |url, messages| Box::pin(async move { own_engine(&url, messages).await }),
            ),
        },
    ];
    enter::<SeaStreamer>(&mut tasks, url);
    enter::<Omniqueue>(&mut tasks, url);
    enter::<MqBridge>(&mut tasks, url);
    enter::<Ruststream>(&mut tasks, url);
    for task in &mut tasks {
        for entrant in &mut task.entrants {
            entrant.remark = match (task.name, entrant.library) {
                ("publish_batch", Library::Omniqueue | Library::Ruststream) => {
                    "no batch call: 100 calls at once"
                }
                ("read", Library::Omniqueue) => "removes each as well; a round trip for each",
                ("engine", Library::Raw) => "read 1,000 by hand",
                _ => entrant.remark,
            };
        }
    }
    tasks
}

type Took = std::pin::Pin<Box<dyn Future<Output = Result<Duration>> + Send>>;

/// Lets a library take part in every task.
fn enter<C: Client>(tasks: &mut [Task], url: &str) {
    for task in tasks {
        let url = url.to_owned();
        task.entrants.push(match task.name {
            "publish_one" => Entrant::new(C::LIBRARY, move |messages| {
                publish::<C>(url.clone(), messages, Some(1))
            }),
            "publish_tasks" => Entrant::new(C::LIBRARY, move |messages| {
                publish::<C>(url.clone(), messages, Some(64))
            }),
            "publish_batch" => Entrant::new(C::LIBRARY, move |messages| {
                publish::<C>(url.clone(), messages, None)
            }),
            "read" => Entrant::new(C::LIBRARY, move |messages| read::<C>(url.clone(), messages)),
            _ => engine(C::LIBRARY, url),
        });
    }
}

/// Who takes part in the measurement of latency on the server at `url`.
pub fn latencies(url: &str) -> Vec<Entrant<Latencies>> {
    let (first, second) = (url.to_owned(), url.to_owned());
    vec![
        Entrant::latencies(Library::Raw, move || latency::through_raw(&first)),
        Entrant::latencies(Library::Broker, move || latency::through_framework(&second)),
        latency_of::<SeaStreamer>(url),
        latency_of::<Omniqueue>(url),
        latency_of::<MqBridge>(url),
        latency_of::<Ruststream>(url),
    ]
}

async fn publish<C: Client>(url: String, messages: usize, tasks: Option<usize>) -> Result<Duration> {
    let mut server = raw::connect(&url).await?;
    raw::clear(&mut server).await?;
    let publisher = C::publisher(&url).await?;
    let (messages, took) = match tasks {
        Some(tasks) => {
            let took = work::publish_singles(publisher, messages, tasks).await?;
            (messages / tasks * tasks, took)
        }
        None => (
            messages,
            work::publish_batches(publisher, messages, BATCH, 4).await?,
        ),
    };
    let count = raw::count(&mut server).await?;
    ensure!(count == messages, "{count} of {messages} messages are there");
    raw::clear(&mut server).await?;
    Ok(took)
}

/// Fills the stream by the library's own publisher, as each has a form of its own.
async fn fill<C: Client>(url: &str, messages: usize) -> Result<()> {
    let mut server = raw::connect(url).await?;
    raw::clear(&mut server).await?;
    raw::make_group(&mut server).await?;
    work::publish_batches(C::publisher(url).await?, messages, BATCH, 8).await?;
    Ok(())
}

async fn read<C: Client>(url: String, messages: usize) -> Result<Duration> {
    fill::<C>(&url, messages).await?;
    let took = work::read(C::reader(&url).await?, messages, BATCH, Clock::AtOnce).await?;
    empty(&url).await?;
    Ok(took)
}

/// Looks that all was acknowledged, and removes it.
async fn empty(url: &str) -> Result<()> {
    let mut server = raw::connect(url).await?;
    let pending = raw::pending(&mut server).await?;
    ensure!(pending == 0, "{pending} messages were not acknowledged");
    raw::clear(&mut server).await
}

fn latency_of<C: Client>(url: &str) -> Entrant<Latencies> {
    let url = url.to_owned();
    Entrant::latencies_of(C::LIBRARY, move || {
        let url = url.clone();
        async move {
            let mut server = raw::connect(&url).await?;
            raw::clear(&mut server).await?;
            raw::make_group(&mut server).await?;
            let latencies = work::latency(C::publisher(&url).await?, C::reader(&url).await?).await?;
            raw::clear(&mut server).await?;
            Ok(latencies)
        }
    })
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

fn engine(library: Library, url: String) -> Entrant<Run> {
    match library {
        Library::MqBridge => Entrant::new(library, move |messages| {
            let url = url.clone();
            async move {
                fill::<MqBridge>(&url, messages).await?;
                let input = ::mq_bridge::models::EndpointType::RedisStreams(MqBridge::config(&url));
                let took = engines::mq_bridge(input, messages).await?;
                empty(&url).await?;
                Ok(took)
            }
        }),
        Library::Ruststream => Entrant::new(library, move |messages| {
            let url = url.clone();
            async move {
                fill::<Ruststream>(&url, messages).await?;
                let took = Ruststream::engine(&url, messages).await?;
                empty(&url).await?;
                Ok(took)
            }
        }),
        _ => Entrant::cannot(library, "has no engine"),
    }
}

struct SeaStreamer;

impl SeaStreamer {
    async fn connect(url: &str) -> Result<RedisStreamer> {
        Ok(RedisStreamer::connect(url.parse()?, Default::default()).await?)
    }
}

impl Client for SeaStreamer {
    const LIBRARY: Library = Library::SeaStreamer;
    type Publisher = sea_streamer::RedisPublisher;
    type Reader = sea_streamer::RedisReader;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        let streamer = Self::connect(url).await?;
        let producer = streamer
            .create_producer(StreamKey::new(raw::STREAM)?, Default::default())
            .await?;
        Ok(sea_streamer::RedisPublisher(producer))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        let streamer = Self::connect(url).await?;
        let mut options = RedisConsumerOptions::new(ConsumerMode::LoadBalanced);
        options.set_consumer_group(ConsumerGroup::new(raw::GROUP))?;
        options.set_auto_stream_reset(AutoStreamReset::Earliest);
        options.set_auto_commit(AutoCommit::Disabled);
        options.set_batch_size(BATCH);
        let consumer = streamer
            .create_consumer(&[StreamKey::new(raw::STREAM)?], options)
            .await?;
        Ok(sea_streamer::RedisReader::new(consumer, BATCH))
    }
}

struct Omniqueue;

impl Omniqueue {
    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            dsn: url.to_owned(),
            max_connections: POOL,
            reinsert_on_nack: false,
            queue_key: raw::STREAM.to_owned(),
            delayed_queue_key: "bench-delayed".to_owned(),
            delayed_lock_key: "bench-delayed-lock".to_owned(),
            consumer_group: raw::GROUP.to_owned(),
            consumer_name: "handler".to_owned(),
            payload_key: "data".to_owned(),
            ack_deadline_ms: 30_000,
            dlq_config: None,
            sentinel_config: None,
        }
    }
}

impl Client for Omniqueue {
    const LIBRARY: Library = Library::Omniqueue;
    type Publisher = omniqueue::Publisher<RedisProducer<RedisConnectionManager>>;
    type Reader = omniqueue::Reader<RedisConsumer<RedisConnectionManager>>;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        let producer = RedisBackend::builder(Self::config(url)).build_producer().await?;
        Ok(omniqueue::Publisher::new(producer))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        Ok(omniqueue::Reader(
            RedisBackend::builder(Self::config(url)).build_consumer().await?,
        ))
    }
}

struct MqBridge;

impl MqBridge {
    fn config(url: &str) -> RedisStreamsConfig {
        RedisStreamsConfig {
            url: url.to_owned(),
            stream: Some(raw::STREAM.to_owned()),
            group: Some(raw::GROUP.to_owned()),
            read_from_start: true,
            ..Default::default()
        }
    }
}

impl Client for MqBridge {
    const LIBRARY: Library = Library::MqBridge;
    type Publisher = bridge::Publisher;
    type Reader = bridge::Reader;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        Ok(bridge::Publisher::new(
            RedisStreamsPublisher::new(&Self::config(url)).await?,
        ))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        Ok(bridge::Reader::new(
            RedisStreamsConsumer::new(&Self::config(url)).await?,
        ))
    }
}

struct Ruststream;

impl Ruststream {
    fn stream() -> RedisStream {
        RedisStream::new(raw::STREAM)
            .group(raw::GROUP)
            .start_id(StreamStart::Beginning)
    }

    /// Its engine: the acks of one read leave in one round.
    async fn engine(url: &str, messages: usize) -> Result<Duration> {
        let latch = engines::Latch::new(messages);
        let handler = engines::Look(latch.clone());
        let app = RustStream::new(AppInfo::new("bench", "0.1.0"));
        let app = app.with_broker(RedisBroker::standalone(url), |b| {
            b.include(subscriber(Self::stream(), handler).build().pipeline());
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
    type Publisher = ruststream::Publisher<RedisPublisher>;
    type Reader = ruststream::Reader<RedisSubscriber>;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        let broker = RedisBroker::standalone(url)
            .connect()
            .await
            .context("ruststream")?;
        Ok(ruststream::Publisher::new(broker.publisher(), raw::STREAM))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        let broker = RedisBroker::standalone(url).connect().await?;
        Ok(ruststream::Reader(broker.subscribe(Self::stream()).await?))
    }
}
