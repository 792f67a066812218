//! The pieces of work that are measured on RabbitMQ.

use std::time::Duration;

use super::{BATCH, framework, raw};
use crate::rounds::Case;

/// Tasks that publish one by one.
const TASKS: usize = 1000;

/// Batches in flight.
const DEPTH: usize = 10;

/// One piece of work on RabbitMQ: publishing alone, or reading with acknowledgement alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RabbitMqWork {
    RawPublishBatch,
    PublishBatch,
    RawPublishTen,
    PublishTen,
    RawPublishTasks,
    PublishTasks,
    RawReadHundred,
    ReadHundred,
    RawReadThousand,
    ReadThousand,
    OneLane,
    EightLanes,
}

impl RabbitMqWork {
    pub(crate) const ALL: [Self; 12] = [
        Self::RawPublishBatch,
        Self::PublishBatch,
        Self::RawPublishTen,
        Self::PublishTen,
        Self::RawPublishTasks,
        Self::PublishTasks,
        Self::RawReadHundred,
        Self::ReadHundred,
        Self::RawReadThousand,
        Self::ReadThousand,
        Self::OneLane,
        Self::EightLanes,
    ];

    /// Does the work on the server at `url`; answers for how many messages, and how long it took, set-up left out.
    pub(crate) async fn run(self, url: String, messages: usize) -> anyhow::Result<(usize, Duration)> {
        // What waits in each handler takes few.
        let messages = match self {
            Self::OneLane => (messages / 100).max(500),
            Self::EightLanes => (messages / 25).max(1000),
            _ => messages,
        };
        let took = match self {
            Self::RawPublishBatch => raw::publish_batches(&url, messages, BATCH, 1).await?,
            Self::PublishBatch => framework::publish_batches(&url, messages, BATCH, 1).await?,
            Self::RawPublishTen => raw::publish_batches(&url, messages, BATCH, DEPTH).await?,
            Self::PublishTen => framework::publish_batches(&url, messages, BATCH, DEPTH).await?,
            Self::RawPublishTasks => raw::publish_singles(&url, messages, TASKS).await?,
            Self::PublishTasks => framework::publish_singles(&url, messages, TASKS).await?,
            Self::RawReadHundred => raw::read(&url, messages, 100).await?,
            Self::ReadHundred => framework::read(&url, messages, 100).await?,
            Self::RawReadThousand => raw::read(&url, messages, 1000).await?,
            Self::ReadThousand => framework::read(&url, messages, 1000).await?,
            Self::OneLane => framework::lanes(&url, messages, 1).await?,
            Self::EightLanes => framework::lanes(&url, messages, 8).await?,
        };
        Ok((messages, took))
    }
}

impl Case for RabbitMqWork {
    fn name(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "rabbitmq_raw_publish_one_batch",
            Self::PublishBatch => "rabbitmq_publish_one_batch",
            Self::RawPublishTen => "rabbitmq_raw_publish_ten_batches",
            Self::PublishTen => "rabbitmq_publish_ten_batches",
            Self::RawPublishTasks => "rabbitmq_raw_publish_tasks",
            Self::PublishTasks => "rabbitmq_publish_tasks",
            Self::RawReadHundred => "rabbitmq_raw_read_100",
            Self::ReadHundred => "rabbitmq_read_100",
            Self::RawReadThousand => "rabbitmq_raw_read_1000",
            Self::ReadThousand => "rabbitmq_read_1000",
            Self::OneLane => "rabbitmq_lanes_one",
            Self::EightLanes => "rabbitmq_lanes_eight",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "publish 1,000 at once, awaited one at a time, raw",
            Self::PublishBatch => "publish 1,000 at once, awaited one at a time",
            Self::RawPublishTen => "publish 1,000 at once, ten in flight, raw",
            Self::PublishTen => "publish 1,000 at once, ten in flight",
            Self::RawPublishTasks => "publish one by one, 1,000 tasks, raw",
            Self::PublishTasks => "publish one by one, 1,000 tasks",
            Self::RawReadHundred => "read, one ack for 100, raw",
            Self::ReadHundred => "read 100 and ack",
            Self::RawReadThousand => "read, one ack for 1,000, raw",
            Self::ReadThousand => "read 1,000 and ack",
            Self::OneLane => "engine: 1 ms handlers, one lane",
            Self::EightLanes => "engine: 1 ms handlers, eight keyed lanes",
        }
    }

    fn beside(self) -> Option<(Self, f64)> {
        match self {
            Self::PublishBatch => Some((Self::RawPublishBatch, 0.95)),
            Self::PublishTen => Some((Self::RawPublishTen, 0.95)),
            Self::PublishTasks => Some((Self::RawPublishTasks, 0.95)),
            Self::ReadHundred => Some((Self::RawReadHundred, 0.95)),
            Self::ReadThousand => Some((Self::RawReadThousand, 0.95)),
            Self::EightLanes => Some((Self::OneLane, 7.0)),
            _ => None,
        }
    }
}
