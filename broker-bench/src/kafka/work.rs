//! The pieces of work that are measured on Kafka.

use std::time::Duration;

use super::{Kafka, framework, raw};
use crate::rounds::Case;

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// One piece of work on Kafka: publishing alone, or reading with acknowledgement alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KafkaWork {
    RawPublishBatch,
    RawPublishFutures,
    PublishBatch,
    RawPublishTasks,
    PublishTasks,
    RawRead,
    Read,
    RawReadDefaults,
    OneLane,
    EightLanes,
}

impl KafkaWork {
    pub(crate) const ALL: [Self; 10] = [
        Self::RawPublishBatch,
        Self::RawPublishFutures,
        Self::PublishBatch,
        Self::RawPublishTasks,
        Self::PublishTasks,
        Self::RawRead,
        Self::Read,
        Self::RawReadDefaults,
        Self::OneLane,
        Self::EightLanes,
    ];

    /// Whether it reads what lies there.
    pub(crate) const fn reads(self) -> bool {
        matches!(self, Self::RawRead | Self::Read | Self::RawReadDefaults)
    }

    /// How many messages it publishes before those that count.
    pub(crate) const fn ahead(self) -> usize {
        match self {
            Self::OneLane | Self::EightLanes => 0,
            _ => 1,
        }
    }

    /// The most memory that is asked for, in MiB.
    pub(crate) const fn memory(self) -> Option<f64> {
        match self {
            Self::Read => Some(64.0),
            _ => None,
        }
    }

    /// Does the work; answers for how many messages, and how long it took, set-up left out.
    pub(crate) async fn run(self, kafka: Kafka) -> anyhow::Result<(usize, Duration)> {
        let Kafka {
            servers,
            topic,
            filled,
            messages,
        } = kafka;
        // What waits in each handler takes few.
        let messages = match self {
            Self::OneLane => (messages / 2000).max(500),
            Self::EightLanes => (messages / 250).max(1000),
            _ => messages,
        };
        let group = fastrand::u64(..).to_string();
        let took = match self {
            Self::RawPublishBatch => raw::publish_batches(&servers, &topic, messages).await?,
            Self::RawPublishFutures => raw::publish_futures(&servers, &topic, messages).await?,
            Self::PublishBatch => framework::publish_batches(&servers, &topic, messages).await?,
            Self::RawPublishTasks => raw::publish_singles(&servers, &topic, messages, TASKS).await?,
            Self::PublishTasks => framework::publish_singles(&servers, &topic, messages, TASKS).await?,
            Self::RawRead => raw::read(&servers, &filled, &group, messages, true).await?,
            Self::Read => framework::read(&servers, &filled, &group, messages).await?,
            Self::RawReadDefaults => raw::read(&servers, &filled, &group, messages, false).await?,
            Self::OneLane => framework::lanes(&servers, &topic, messages, 1).await?,
            Self::EightLanes => framework::lanes(&servers, &topic, messages, 8).await?,
        };
        Ok((messages, took))
    }
}

impl Case for KafkaWork {
    fn name(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "kafka_raw_publish_1000",
            Self::RawPublishFutures => "kafka_raw_publish_futures",
            Self::PublishBatch => "kafka_publish_1000",
            Self::RawPublishTasks => "kafka_raw_publish_tasks",
            Self::PublishTasks => "kafka_publish_tasks",
            Self::RawRead => "kafka_raw_read",
            Self::Read => "kafka_read",
            Self::RawReadDefaults => "kafka_raw_read_defaults",
            Self::OneLane => "kafka_lanes_one",
            Self::EightLanes => "kafka_lanes_eight",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "publish 1,000 at once, ten in flight, ThreadedProducer",
            Self::RawPublishFutures => "publish with 10,000 in flight, FutureProducer",
            Self::PublishBatch => "publish 1,000 at once, ten in flight",
            Self::RawPublishTasks => "publish one by one, 1,000 tasks, FutureProducer",
            Self::PublishTasks => "publish one by one, 1,000 tasks",
            Self::RawRead => "read, tuned, offsets stored, StreamConsumer",
            Self::Read => "read, nothing set, each message acked",
            Self::RawReadDefaults => "read, nothing set, offsets stored, StreamConsumer",
            Self::OneLane => "engine: 1 ms handlers, one lane",
            Self::EightLanes => "engine: 1 ms handlers, eight keyed lanes",
        }
    }

    fn beside(self) -> Option<(Self, f64)> {
        match self {
            Self::PublishBatch => Some((Self::RawPublishBatch, 0.95)),
            Self::PublishTasks => Some((Self::RawPublishTasks, 1.0)),
            Self::Read => Some((Self::RawRead, 0.90)),
            Self::EightLanes => Some((Self::OneLane, 7.0)),
            _ => None,
        }
    }
}
