//! The libraries on Kafka.

use std::time::Duration;

use ::mq_bridge::endpoints::kafka::{KafkaConsumer as BridgeConsumer, KafkaPublisher as BridgePublisher};
use ::mq_bridge::models::KafkaConfig;
use ::ruststream::Broker as _;
use ::ruststream::runtime::{AppInfo, RustStream, subscriber};
use anyhow::{Context, Result};
use broker_bench::kafka::TUNED;
use ruststream_rdkafka::{
    Commit, KafkaBroker, KafkaPublish, KafkaPublisher, KafkaSubscriber, KafkaTopic, StartOffset,
};
use sea_streamer_kafka::{AutoOffsetReset, KafkaConsumerOptions, KafkaProducerOptions, KafkaStreamer};
use sea_streamer_types::{ConsumerGroup, ConsumerMode, ConsumerOptions as _, StreamKey, Streamer as _};

use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge, ruststream, sea_streamer};

/// Where one library does one piece of work.
pub struct Place {
    pub servers: String,
    pub topic: String,
    pub group: String,
    pub linger: &'static str,
}

impl Place {
    /// A topic of its own on the servers, or the one that is filled, and a group of its own.
    pub fn new(servers: &str, topic: Option<&str>) -> Self {
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
    pub fn to_text(&self) -> String {
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

pub struct SeaStreamer;

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

pub struct MqBridge;

impl MqBridge {
    pub fn config(place: &Place) -> KafkaConfig {
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

pub struct Ruststream;

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

    pub async fn engine(place: &Place, messages: usize) -> Result<Duration> {
        let latch = engines::Latch::new(messages);
        let handler = engines::Look(latch.clone());
        let app = RustStream::new(AppInfo::new("bench", "0.1.0"));
        let app = app.with_broker(Self::broker(place), |b| {
            b.include(subscriber(Self::topic(place), handler).build());
        });
        engines::ruststream(app, &latch).await
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
