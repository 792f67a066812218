//! The libraries on Redis Streams.

use std::time::Duration;

use ::omniqueue::backends::RedisBackend;
use ::omniqueue::backends::redis::{RedisConfig, RedisConnectionManager, RedisConsumer, RedisProducer};
use ::ruststream::Broker as _;
use ::ruststream::runtime::{AppInfo, RustStream, subscriber};
use anyhow::{Context, Result};
use broker_bench::redis::raw;
use mq_bridge::endpoints::redis_streams::{RedisStreamsConsumer, RedisStreamsPublisher};
use mq_bridge::models::RedisStreamsConfig;
use ruststream_fred::pipeline::RedisPipelineSteps as _;
use ruststream_fred::{RedisBroker, RedisPublisher, RedisStream, RedisSubscriber, StreamStart};
use sea_streamer_redis::{AutoCommit, AutoStreamReset, RedisConsumerOptions, RedisStreamer};
use sea_streamer_types::{ConsumerGroup, ConsumerMode, ConsumerOptions as _, StreamKey, Streamer as _};

use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge, omniqueue, ruststream, sea_streamer};

/// The most messages of one read.
pub const READ: usize = 100;

/// How many connections a pool may have.
const POOL: u16 = 16;

pub struct SeaStreamer;

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
        options.set_batch_size(READ);
        let consumer = streamer
            .create_consumer(&[StreamKey::new(raw::STREAM)?], options)
            .await?;
        Ok(sea_streamer::RedisReader::new(consumer, READ))
    }
}

pub struct Omniqueue;

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

pub struct MqBridge;

impl MqBridge {
    pub fn config(url: &str) -> RedisStreamsConfig {
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

pub struct Ruststream;

impl Ruststream {
    fn stream() -> RedisStream {
        RedisStream::new(raw::STREAM)
            .group(raw::GROUP)
            .start_id(StreamStart::Beginning)
    }

    /// Its engine: the acks of one read leave in one round.
    pub async fn engine(url: &str, messages: usize) -> Result<Duration> {
        let latch = engines::Latch::new(messages);
        let handler = engines::Look(latch.clone());
        let app = RustStream::new(AppInfo::new("bench", "0.1.0"));
        let app = app.with_broker(RedisBroker::standalone(url), |b| {
            b.include(subscriber(Self::stream(), handler).build().pipeline());
        });
        engines::ruststream(app, &latch).await
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
