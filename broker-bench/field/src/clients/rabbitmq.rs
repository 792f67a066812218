//! The libraries on RabbitMQ.

use ::mq_bridge::endpoints::amqp::{AmqpConsumer, AmqpPublisher};
use ::mq_bridge::models::AmqpConfig;
use ::omniqueue::backends::RabbitMqBackend;
use ::omniqueue::backends::rabbitmq::{
    BasicConsumeOptions, BasicProperties, BasicPublishOptions, ConnectionProperties, FieldTable,
    RabbitMqConfig, RabbitMqConsumer, RabbitMqProducer,
};
use anyhow::Result;
use broker_bench::rabbitmq::{EXCHANGE, QUEUE};

use crate::libraries::{Client, Library, mq_bridge as bridge, omniqueue};

/// The most messages of one read; twice as many are sent ahead.
pub const READ: usize = 100;

/// The queue that mq-bridge declares and reads.
pub const CLASSIC: &str = "bench-classic";

pub struct Omniqueue;

impl Omniqueue {
    fn config(url: &str) -> RabbitMqConfig {
        RabbitMqConfig {
            uri: url.to_owned(),
            connection_properties: ConnectionProperties::default(),
            publish_exchange: EXCHANGE.to_owned(),
            publish_routing_key: EXCHANGE.to_owned(),
            publish_options: BasicPublishOptions::default(),
            publish_properties: BasicProperties::default().with_delivery_mode(2),
            consume_queue: QUEUE.to_owned(),
            consumer_tag: "handler".to_owned(),
            consume_options: BasicConsumeOptions::default(),
            consume_arguments: FieldTable::default(),
            consume_prefetch_count: u16::try_from(2 * READ).ok(),
            requeue_on_nack: true,
        }
    }
}

impl Client for Omniqueue {
    const LIBRARY: Library = Library::Omniqueue;
    type Publisher = omniqueue::Publisher<RabbitMqProducer>;
    type Reader = omniqueue::Reader<RabbitMqConsumer>;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        let producer = RabbitMqBackend::builder(Self::config(url))
            .build_producer()
            .await?;
        Ok(omniqueue::Publisher::new(producer))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        Ok(omniqueue::Reader(
            RabbitMqBackend::builder(Self::config(url))
                .build_consumer()
                .await?,
        ))
    }
}

pub struct MqBridge;

impl MqBridge {
    /// Publishes to an exchange by a key, or to a queue by its name.
    pub fn config(url: &str, exchange: Option<&str>, queue: &str) -> AmqpConfig {
        AmqpConfig {
            url: url.to_owned(),
            queue: Some(queue.to_owned()),
            exchange: exchange.map(str::to_owned),
            prefetch_count: u16::try_from(2 * READ).ok(),
            no_declare_queue: exchange.is_some(),
            ..Default::default()
        }
    }
}

impl Client for MqBridge {
    const LIBRARY: Library = Library::MqBridge;
    type Publisher = bridge::Publisher;
    type Reader = bridge::Reader;

    async fn publisher(url: &str) -> Result<Self::Publisher> {
        let publisher = AmqpPublisher::new(&Self::config(url, None, CLASSIC)).await?;
        Ok(bridge::Publisher::new(publisher))
    }

    async fn reader(url: &str) -> Result<Self::Reader> {
        let consumer = AmqpConsumer::new(&Self::config(url, None, CLASSIC)).await?;
        Ok(bridge::Reader::new(consumer))
    }
}
