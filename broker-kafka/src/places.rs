//! The topics that a group reads, and numbers that tell their partitions apart.

use std::sync::Arc;

use broker_core::{GroupName, Result, StreamName};
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminOptions;
use rdkafka::error::RDKafkaErrorCode;

use crate::client::Client;
use crate::topic::{Make, Topic};
use crate::{error, names, offsets};

/// Set in the number of a retry topic's partition.
const RETRY: u32 = 1 << 31;

/// The topics that a group reads: its stream's, and its own retry topic where it has one.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) stream: Arc<Topic>,
    pub(crate) retry: Option<Topic>,
}

/// Whether it is the number of a retry topic's partition.
pub(crate) fn is_retry(number: u32) -> bool {
    number & RETRY != 0
}

/// The number of a retry topic's partition.
pub(crate) fn retry_number(partition: u32) -> u32 {
    partition | RETRY
}

/// A partition by its number, for people.
pub(crate) fn shown(number: u32) -> String {
    match is_retry(number) {
        true => format!("partition {} of the retry topic", number & !RETRY),
        false => format!("partition {number}"),
    }
}

impl Places {
    /// The stream's topic alone.
    pub(crate) fn of(stream: &Arc<Topic>) -> Self {
        Self {
            stream: Arc::clone(stream),
            retry: None,
        }
    }

    /// The topics' names.
    pub(crate) fn topics(&self) -> Vec<&str> {
        let retry = self.retry.iter().map(|topic| topic.name.as_str());
        std::iter::once(self.stream.name.as_str()).chain(retry).collect()
    }

    /// The numbers of all partitions.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.with_retry((0..self.stream.partitions).collect())
    }

    /// Partitions of the stream with those of the retry topic that belong to them: who owns one owns the other. The group
    /// shares out the stream alone, which so is shared evenly, whatever lies in the retry topic.
    pub(crate) fn with_retry(&self, mut numbers: Vec<u32>) -> Vec<u32> {
        let retry = self.retry.as_ref().map_or(0, |topic| topic.partitions);
        let own: Vec<_> = numbers.iter().filter(|number| **number < retry).collect();
        let own: Vec<_> = own.into_iter().map(|number| retry_number(*number)).collect();
        numbers.extend(own);
        numbers
    }

    /// The topic of a partition, and the partition's number there.
    pub(crate) fn find(&self, number: u32) -> (&str, u32) {
        match &self.retry {
            Some(topic) if is_retry(number) => (&topic.name, number & !RETRY),
            _ => (&self.stream.name, number),
        }
    }

    /// The number of a topic's partition.
    pub(crate) fn number(&self, topic: &str, partition: i32) -> Option<u32> {
        let partition = u32::try_from(partition).ok()?;
        let retry = self.retry.as_ref().filter(|retry| retry.name == topic);
        Some(retry.map_or(partition, |_| retry_number(partition)))
    }

    /// The numbers of a list's partitions.
    pub(crate) fn numbers_of(&self, list: &TopicPartitionList) -> Vec<u32> {
        let elements = list.elements();
        let numbers = elements
            .iter()
            .map(|element| self.number(element.topic(), element.partition()));
        numbers.flatten().collect()
    }

    /// Partitions as the library lists them.
    pub(crate) fn list(&self, numbers: impl Iterator<Item = u32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for number in numbers {
            let (topic, partition) = self.find(number);
            if let Ok(partition) = i32::try_from(partition) {
                list.add_partition(topic, partition);
            }
        }
        list
    }

    /// Adds a position to a list.
    pub(crate) fn add(&self, list: &mut TopicPartitionList, number: u32, start: u64) -> Result<()> {
        self.add_with(list, number, start, "")
    }

    /// Adds a position with its text to a list.
    pub(crate) fn add_with(
        &self,
        list: &mut TopicPartitionList,
        number: u32,
        start: u64,
        text: &str,
    ) -> Result<()> {
        let (topic, partition) = self.find(number);
        offsets::add_with(list, topic, partition, start, text)
    }
}

impl Client {
    /// The topics that the group has: a retry topic that is there is read, also where the setting is gone.
    pub(crate) async fn places(
        self: &Arc<Self>,
        stream: &StreamName,
        group: &GroupName,
        topic: &Arc<Topic>,
    ) -> Result<Places> {
        let name = names::retry(stream, group);
        let retry = self.partitions_of(&name).await?;
        Ok(Places {
            stream: Arc::clone(topic),
            retry: retry.map(|partitions| Topic { name, partitions }),
        })
    }

    /// The topics that the group is about to read: the retry topic is made where the configuration wants one.
    pub(crate) async fn places_to_read(
        self: &Arc<Self>,
        stream: &StreamName,
        group: &GroupName,
        topic: &Arc<Topic>,
    ) -> Result<Places> {
        let places = self.places(stream, group, topic).await?;
        if places.retry.is_some() || !self.config.retry_topic {
            return Ok(places);
        }
        let name = names::retry(stream, group);
        self.make_topic(Make {
            name: name.clone(),
            // Each goes with one of the stream's.
            partitions: i32::try_from(topic.partitions).unwrap_or(1),
            replication: self.config.replication.map_or(-1, i32::from),
            settings: self.own_settings("delete"),
        })
        .await?;
        let partitions = self.wait_for_topic(name.clone()).await?;
        Ok(Places {
            retry: Some(Topic { name, partitions }),
            ..places
        })
    }

    /// Removes the retry topic of a group that is gone: one of that name later on has nothing to do with what lies there.
    pub(crate) async fn remove_retry_topic(
        self: &Arc<Self>,
        stream: &StreamName,
        group: &GroupName,
    ) -> Result<()> {
        let name = names::retry(stream, group);
        if self.partitions_of(&name).await?.is_none() {
            return Ok(());
        }
        let admin = self.admin().await?;
        let options = AdminOptions::new().operation_timeout(Some(self.patience()));
        let answers = admin.delete_topics(&[&name], &options).await;
        match answers
            .map_err(|error| error::from_kafka(&error))?
            .into_iter()
            .next()
        {
            Some(Err((name, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                Err(error::from_code(code).with("topic", name))
            }
            // The servers hear of it a moment later: who comes before that would take it for there.
            _ => self.wait_until_gone(&name).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: u32) -> Topic {
        Topic {
            name: name.to_owned(),
            partitions,
        }
    }

    #[test]
    fn every_partition_has_a_number_of_its_own() {
        let places = Places {
            stream: Arc::new(topic("orders", 3)),
            retry: Some(topic("orders.retry", 2)),
        };
        let numbers = places.numbers();
        assert_eq!(numbers.len(), 5);
        for number in &numbers {
            let (name, partition) = places.find(*number);
            let partition = i32::try_from(partition).unwrap();
            assert_eq!(places.number(name, partition), Some(*number));
            assert_eq!(is_retry(*number), name == "orders.retry");
        }
        let list = places.list(numbers.iter().copied());
        assert_eq!(places.numbers_of(&list), numbers);
    }
}
