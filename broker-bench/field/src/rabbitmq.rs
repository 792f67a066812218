//! RabbitMQ, with a quorum queue.

use std::time::{Duration, Instant};

use ::lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use ::mq_bridge::endpoints::amqp::{AmqpConsumer, AmqpPublisher};
use ::mq_bridge::models::{AmqpConfig, EndpointType};
use ::omniqueue::backends::RabbitMqBackend;
use ::omniqueue::backends::rabbitmq::{
    BasicConsumeOptions, BasicProperties, BasicPublishOptions, ConnectionProperties, FieldTable,
    RabbitMqConfig,
};
use anyhow::{Result, ensure};
use broker_bench::rabbitmq::{BATCH, EXCHANGE, GROUP, QUEUE, framework, latency, raw};

use crate::contest::{Entrant, Latencies, Run, Task};
use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge, omniqueue};
use crate::work::{self, Clock};

/// The most messages of one read; twice as many are sent ahead.
const READ: usize = 100;

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// Batches in flight.
const DEPTH: usize = 10;

/// The queue that mq-bridge declares and reads.
const CLASSIC: &str = "bench-classic";

/// Why a library takes no part.
const ABSENT: &str = "has no provider for RabbitMQ";

/// Why omniqueue publishes nothing here.
const UNCONFIRMED: &str = "publishes without confirmation";

/// How messages are published.
#[derive(Clone, Copy)]
enum Way {
    /// One by one, by so many tasks.
    Singles(usize),
    Batches,
}

/// What is measured on the server at `url`.
pub fn tasks(url: &str) -> Vec<Task> {
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
            20_000,
            publishing(url, Way::Singles(1)),
        ),
        task(
            "publish_tasks",
            "publish one by one from each of 1,000 tasks",
            50_000,
            publishing(url, Way::Singles(TASKS)),
        ),
        task(
            "publish_batch",
            "publish 1,000 at once, ten times in flight",
            50_000,
            publishing(url, Way::Batches),
        ),
        task("read", "read 100 and acknowledge each", 50_000, reading(url)),
        task(
            "engine",
            "from the server to a handler and its acknowledgement",
            50_000,
            engines(url),
        ),
    ]
}

fn publishing(url: &str, way: Way) -> Vec<Entrant<Run>> {
    let [first, second, third] = [url; 3].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let url = first.clone();
            async move {
                match way {
                    Way::Singles(tasks) => raw::publish_singles(&url, messages, tasks).await,
                    Way::Batches => raw::publish_batches(&url, messages, BATCH, DEPTH).await,
                }
            }
        }),
        Entrant::new(Library::Broker, move |messages| {
            let url = second.clone();
            async move {
                match way {
                    Way::Singles(tasks) => framework::publish_singles(&url, messages, tasks).await,
                    Way::Batches => framework::publish_batches(&url, messages, BATCH, DEPTH).await,
                }
            }
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, UNCONFIRMED),
        Entrant::new(Library::MqBridge, move |messages| {
            let url = third.clone();
            async move {
                let (connection, channel) = raw::connect(&url).await?;
                let config = MqBridge::config(&url, Some(EXCHANGE), EXCHANGE);
                let publisher = bridge::Publisher::new(AmqpPublisher::new(&config).await?);
                let took = match way {
                    Way::Singles(tasks) => work::publish_singles(publisher, messages, tasks).await?,
                    Way::Batches => work::publish_batches(publisher, messages, BATCH, DEPTH).await?,
                };
                let count = raw::purge(&channel).await?;
                ensure!(count == messages, "{count} of {messages} messages are there");
                connection.close(200, "bye".into()).await?;
                Ok(took)
            }
        }),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

fn reading(url: &str) -> Vec<Entrant<Run>> {
    let [first, second] = [url; 2].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let url = first.clone();
            async move { raw::read(&url, messages, READ).await }
        }),
        Entrant::new(Library::Broker, move |messages| {
            let url = second.clone();
            async move {
                alone(&url).await?;
                framework::read(&url, messages, READ).await
            }
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        read_by::<Omniqueue>(url),
        read_by::<MqBridge>(url).remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

/// Where mq-bridge's work is another.
const OTHER_QUEUE: &str = "a classic queue, as it declares no other";

fn read_by<C: Client>(url: &str) -> Entrant<Run> {
    let url = url.to_owned();
    Entrant::new(C::LIBRARY, move |messages| {
        let url = url.clone();
        async move {
            fill::<C>(&url, messages).await?;
            let took = work::read(C::reader(&url).await?, messages, READ, Clock::AtOnce).await?;
            empty(&url, queue(C::LIBRARY)).await?;
            Ok(took)
        }
    })
}

/// The queue that a library reads.
fn queue(library: Library) -> &'static str {
    match library {
        Library::MqBridge => CLASSIC,
        _ => QUEUE,
    }
}

async fn fill<C: Client>(url: &str, messages: usize) -> Result<()> {
    if C::LIBRARY == Library::MqBridge {
        work::publish_batches(C::publisher(url).await?, messages, BATCH, 8).await?;
        return Ok(());
    }
    alone(url).await?;
    let (connection, channel) = raw::connect(url).await?;
    raw::fill(&channel, messages, BATCH, 8).await?;
    connection.close(200, "bye".into()).await?;
    Ok(())
}

/// Waits until nobody reads the queue: a quorum queue hears late that a connection was closed, and gives the next
/// messages to its consumer until then.
async fn alone(url: &str) -> Result<()> {
    let (connection, channel) = raw::connect(url).await?;
    let asked = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let deadline = Instant::now() + PATIENCE;
    while channel
        .queue_declare(QUEUE.into(), asked, lapin::types::FieldTable::default())
        .await?
        .consumer_count()
        > 0
    {
        ensure!(Instant::now() < deadline, "somebody still reads the queue");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connection.close(200, "bye".into()).await?;
    Ok(())
}

/// How long a consumer may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks that nothing is left over.
async fn empty(url: &str, queue: &str) -> Result<()> {
    let (connection, channel) = raw::connect(url).await?;
    let count = channel
        .queue_purge(queue.into(), QueuePurgeOptions::default())
        .await?;
    ensure!(count == 0, "{count} messages are left over");
    connection.close(200, "bye".into()).await?;
    Ok(())
}

fn engines(url: &str) -> Vec<Entrant<Run>> {
    let [first, second, third] = [url; 3].map(str::to_owned);
    vec![
        Entrant::new(Library::Raw, move |messages| {
            let url = first.clone();
            async move { raw::read(&url, messages, BATCH).await }
        })
        .remark("read by hand, one ack for 1,000"),
        Entrant::new(Library::Broker, move |messages| {
            let url = second.clone();
            async move {
                fill::<Omniqueue>(&url, messages).await?;
                let config = broker::rabbitmq::RabbitMqConfig::new(&url)?;
                let brokers = broker::Brokers::builder().default(config).build()?;
                let took = engines::broker(brokers, EXCHANGE, GROUP, messages).await?;
                empty(&url, QUEUE).await?;
                Ok(took)
            }
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, "has no engine"),
        Entrant::new(Library::MqBridge, move |messages| {
            let url = third.clone();
            async move {
                fill::<MqBridge>(&url, messages).await?;
                let input = EndpointType::Amqp(MqBridge::config(&url, None, CLASSIC));
                let took = engines::mq_bridge(input, messages).await?;
                empty(&url, CLASSIC).await?;
                Ok(took)
            }
        })
        .remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

/// Who takes part in the measurement of latency on the server at `url`.
pub fn latencies(url: &str) -> Vec<Entrant<Latencies>> {
    let [first, second, third] = [url; 3].map(str::to_owned);
    vec![
        Entrant::latencies(Library::Raw, move || latency::through_raw(&first)),
        Entrant::latencies(Library::Broker, move || latency::through_framework(&second)),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, UNCONFIRMED),
        Entrant::latencies_of(Library::MqBridge, move || {
            let url = third.clone();
            async move { work::latency(MqBridge::publisher(&url).await?, MqBridge::reader(&url).await?).await }
        })
        .remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

/// Makes exchange and queue.
pub async fn prepare(url: String) -> Result<()> {
    framework::prepare(&url).await
}

struct Omniqueue;

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
    type Publisher = omniqueue::Publisher<::omniqueue::backends::rabbitmq::RabbitMqProducer>;
    type Reader = omniqueue::Reader<::omniqueue::backends::rabbitmq::RabbitMqConsumer>;

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

struct MqBridge;

impl MqBridge {
    /// Publishes to an exchange by a key, or to a queue by its name.
    fn config(url: &str, exchange: Option<&str>, queue: &str) -> AmqpConfig {
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
