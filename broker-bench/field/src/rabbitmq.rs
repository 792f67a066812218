//! RabbitMQ, with a quorum queue.

use std::time::{Duration, Instant};

use ::lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use ::mq_bridge::endpoints::amqp::AmqpPublisher;
use ::mq_bridge::models::EndpointType;
use anyhow::{Result, ensure};
use broker_bench::rabbitmq::{BATCH, EXCHANGE, GROUP, QUEUE, framework, latency, raw};

use crate::clients::rabbitmq::{CLASSIC, MqBridge, Omniqueue, READ};
use crate::contest::{Entrant, Latencies, Run, Task};
use crate::engines;
use crate::libraries::{Client, Library, mq_bridge as bridge};
use crate::work::{self, Clock, Way};

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// Batches in flight.
const DEPTH: usize = 10;

/// Why a library takes no part.
const ABSENT: &str = "has no provider for RabbitMQ";

/// Why omniqueue publishes nothing here.
const UNCONFIRMED: &str = "publishes without confirmation";

/// Where mq-bridge's work is another.
const OTHER_QUEUE: &str = "a classic queue, as it declares no other";

/// Makes exchange and queue.
pub async fn prepare(url: String) -> Result<()> {
    framework::prepare(&url).await
}

/// What is measured on the server at `url`.
pub fn tasks(url: &str) -> Vec<Task> {
    vec![
        Task::new(
            "publish_one",
            "publish one by one, each awaited",
            20_000,
            publishing(url, Way::Singles(1)),
        ),
        Task::new(
            "publish_tasks",
            "publish one by one from each of 1,000 tasks",
            50_000,
            publishing(url, Way::Singles(TASKS)),
        ),
        Task::new(
            "publish_batch",
            "publish 1,000 at once, ten times in flight",
            50_000,
            publishing(url, Way::Batches(BATCH, DEPTH)),
        ),
        Task::new("read", "read 100 and acknowledge each", 50_000, reading(url)),
        Task::new(
            "engine",
            "from the server to a handler and its acknowledgement",
            50_000,
            engines(url),
        ),
    ]
}

fn publishing(url: &str, way: Way) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, url, move |url, messages| async move {
            match way {
                Way::Singles(tasks) => raw::publish_singles(&url, messages, tasks).await,
                Way::Batches(batch, depth) => raw::publish_batches(&url, messages, batch, depth).await,
            }
        }),
        Entrant::at(Library::Broker, url, move |url, messages| async move {
            match way {
                Way::Singles(tasks) => framework::publish_singles(&url, messages, tasks).await,
                Way::Batches(batch, depth) => framework::publish_batches(&url, messages, batch, depth).await,
            }
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, UNCONFIRMED),
        Entrant::at(Library::MqBridge, url, move |url, messages| async move {
            let (connection, channel) = raw::connect(&url).await?;
            let config = MqBridge::config(&url, Some(EXCHANGE), EXCHANGE);
            let publisher = bridge::Publisher::new(AmqpPublisher::new(&config).await?);
            let took = work::publish(publisher, messages, way).await?;
            let count = raw::purge(&channel).await?;
            ensure!(count == messages, "{count} of {messages} messages are there");
            connection.close(200, "bye".into()).await?;
            Ok(took)
        }),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

fn reading(url: &str) -> Vec<Entrant<Run>> {
    vec![
        Entrant::at(Library::Raw, url, async |url, messages| {
            raw::read(&url, messages, READ).await
        }),
        Entrant::at(Library::Broker, url, async |url, messages| {
            alone(&url).await?;
            framework::read(&url, messages, READ).await
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        read_by::<Omniqueue>(url),
        read_by::<MqBridge>(url).remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

fn read_by<C: Client>(url: &str) -> Entrant<Run> {
    Entrant::at(C::LIBRARY, url, async |url, messages| {
        fill::<C>(&url, messages).await?;
        let took = work::read(C::reader(&url).await?, messages, READ, Clock::AtOnce).await?;
        empty(&url, queue(C::LIBRARY)).await?;
        Ok(took)
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
    vec![
        Entrant::at(Library::Raw, url, async |url, messages| {
            raw::read(&url, messages, BATCH).await
        })
        .remark("read by hand, one ack for 1,000"),
        Entrant::at(Library::Broker, url, async |url, messages| {
            fill::<Omniqueue>(&url, messages).await?;
            let config = broker::rabbitmq::RabbitMqConfig::new(&url)?;
            let brokers = broker::Brokers::builder().default(config).build()?;
            let took = engines::broker(brokers, EXCHANGE, GROUP, messages).await?;
            empty(&url, QUEUE).await?;
            Ok(took)
        }),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, "has no engine"),
        Entrant::at(Library::MqBridge, url, async |url, messages| {
            fill::<MqBridge>(&url, messages).await?;
            let input = EndpointType::Amqp(MqBridge::config(&url, None, CLASSIC));
            let took = engines::mq_bridge(input, messages).await?;
            empty(&url, CLASSIC).await?;
            Ok(took)
        })
        .remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}

/// Who takes part in the measurement of latency on the server at `url`.
pub fn latencies(url: &str) -> Vec<Entrant<Latencies>> {
    vec![
        Entrant::latencies(Library::Raw, url, latency::through_raw),
        Entrant::latencies(Library::Broker, url, latency::through_framework),
        Entrant::cannot(Library::SeaStreamer, ABSENT),
        Entrant::cannot(Library::Omniqueue, UNCONFIRMED),
        Entrant::latencies_of(Library::MqBridge, url, async |url| {
            work::latency(MqBridge::publisher(&url).await?, MqBridge::reader(&url).await?).await
        })
        .remark(OTHER_QUEUE),
        Entrant::cannot(Library::Ruststream, ABSENT),
    ]
}
