//! The pieces of work that are measured on Redis.

use std::time::Duration;

use super::{framework, raw};
use crate::rounds::Case;

/// One piece of work on Redis: publishing alone, or reading with acknowledgement alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisWork {
    RawPublishBatch,
    PublishBatch,
    RawPublishFour,
    PublishFour,
    RawPublishTasks,
    PublishTasks,
    RawPublishOne,
    PublishOne,
    RawReadHundred,
    ReadHundred,
    RawReadThousand,
    ReadThousand,
    RawReadOne,
    ReadOne,
    Engine,
    OneLane,
    EightLanes,
}

impl RedisWork {
    pub(crate) const ALL: [Self; 17] = [
        Self::RawPublishBatch,
        Self::PublishBatch,
        Self::RawPublishFour,
        Self::PublishFour,
        Self::RawPublishTasks,
        Self::PublishTasks,
        Self::RawPublishOne,
        Self::PublishOne,
        Self::RawReadHundred,
        Self::ReadHundred,
        Self::RawReadThousand,
        Self::ReadThousand,
        Self::RawReadOne,
        Self::ReadOne,
        Self::Engine,
        Self::OneLane,
        Self::EightLanes,
    ];

    /// How many messages it takes where the quickest cases take `messages`: about as long as they do.
    const fn share(self, messages: usize) -> usize {
        match self {
            Self::OneLane => return messages / 400,
            Self::EightLanes => return messages / 50,
            _ => {}
        }
        let share = match self {
            Self::RawPublishOne | Self::PublishOne | Self::RawReadOne | Self::ReadOne => messages / 20,
            Self::RawPublishFour | Self::PublishFour => messages,
            _ => messages / 2,
        };
        // Whole batches, and the same number from each of many tasks.
        if share < 64_000 {
            share / 1000 * 1000
        } else {
            share / 64_000 * 64_000
        }
    }

    /// Does the work on the server at `url`; answers for how many messages, and how long it took, set-up left out.
    pub(crate) async fn run(self, url: String, messages: usize) -> anyhow::Result<(usize, Duration)> {
        let least = if self == Self::OneLane { 500 } else { 1000 };
        let count = self.share(messages).max(least);
        let took = match self {
            Self::RawPublishBatch => raw::publish_batches(&url, count, 1).await?,
            Self::PublishBatch => framework::publish_batches(&url, count, 1).await?,
            Self::RawPublishFour => raw::publish_batches(&url, count, 4).await?,
            Self::PublishFour => framework::publish_batches(&url, count, 4).await?,
            Self::RawPublishTasks => raw::publish_singles(&url, count, 64).await?,
            Self::PublishTasks => framework::publish_singles(&url, count, 64).await?,
            Self::RawPublishOne => raw::publish_singles(&url, count, 1).await?,
            Self::PublishOne => framework::publish_singles(&url, count, 1).await?,
            Self::RawReadHundred => raw::read(&url, count, 100).await?,
            Self::ReadHundred => framework::read(&url, count, 100).await?,
            Self::RawReadThousand => raw::read(&url, count, 1000).await?,
            Self::ReadThousand => framework::read(&url, count, 1000).await?,
            Self::RawReadOne => raw::read(&url, count, 1).await?,
            Self::ReadOne => framework::read(&url, count, 1).await?,
            Self::Engine => framework::handle(&url, count).await?,
            Self::OneLane => framework::lanes(&url, count, 1).await?,
            Self::EightLanes => framework::lanes(&url, count, 8).await?,
        };
        Ok((count, took))
    }
}

impl Case for RedisWork {
    fn name(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "redis_raw_publish_100",
            Self::PublishBatch => "redis_publish_100",
            Self::RawPublishFour => "redis_raw_publish_100_four",
            Self::PublishFour => "redis_publish_100_four",
            Self::RawPublishTasks => "redis_raw_publish_64_tasks",
            Self::PublishTasks => "redis_publish_64_tasks",
            Self::RawPublishOne => "redis_raw_publish_one",
            Self::PublishOne => "redis_publish_one",
            Self::RawReadHundred => "redis_raw_read_100",
            Self::ReadHundred => "redis_read_100",
            Self::RawReadThousand => "redis_raw_read_1000",
            Self::ReadThousand => "redis_read_1000",
            Self::RawReadOne => "redis_raw_read_one",
            Self::ReadOne => "redis_read_one",
            Self::Engine => "redis_engine",
            Self::OneLane => "redis_lanes_one",
            Self::EightLanes => "redis_lanes_eight",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::RawPublishBatch => "publish 100 at once, awaited one at a time, raw",
            Self::PublishBatch => "publish 100 at once, awaited one at a time",
            Self::RawPublishFour => "publish 100 at once, four in flight, raw",
            Self::PublishFour => "publish 100 at once, four in flight",
            Self::RawPublishTasks => "publish one by one, 64 tasks, raw",
            Self::PublishTasks => "publish one by one, 64 tasks",
            Self::RawPublishOne => "publish one by one, one task, raw",
            Self::PublishOne => "publish one by one, one task",
            Self::RawReadHundred => "read 100 and ack with the next read, raw",
            Self::ReadHundred => "read 100 and ack with the next read",
            Self::RawReadThousand => "read 1,000 and ack with the next read, raw",
            Self::ReadThousand => "read 1,000 and ack with the next read",
            Self::RawReadOne => "read one and ack with the next read, raw",
            Self::ReadOne => "read one and ack with the next read",
            Self::Engine => "engine, one handler, its own settings",
            Self::OneLane => "engine: 1 ms handlers, one lane",
            Self::EightLanes => "engine: 1 ms handlers, eight keyed lanes",
        }
    }

    fn beside(self) -> Option<(Self, f64)> {
        match self {
            Self::PublishBatch => Some((Self::RawPublishBatch, 0.95)),
            Self::PublishFour => Some((Self::RawPublishFour, 0.95)),
            Self::PublishTasks => Some((Self::RawPublishTasks, 1.0)),
            Self::PublishOne => Some((Self::RawPublishOne, 0.90)),
            Self::ReadHundred => Some((Self::RawReadHundred, 0.95)),
            Self::ReadThousand => Some((Self::RawReadThousand, 0.95)),
            Self::ReadOne => Some((Self::RawReadOne, 0.90)),
            Self::Engine => Some((Self::RawReadThousand, 0.93)),
            Self::EightLanes => Some((Self::OneLane, 7.0)),
            _ => None,
        }
    }
}
