//! A stream's topic: found, or made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::{Error, ErrorKind, Result, Retry, StreamName};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use crate::client::{Client, Quiet, lock};
use crate::{error, names};

/// How many topics are remembered.
const KNOWN: usize = 4096;
/// Between two looks at whether a new topic is there.
const LOOK: Duration = Duration::from_millis(20);

/// A stream's topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: u32,
}

/// How a topic is to be made.
pub(crate) struct Make {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication: i32,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Client {
    /// The stream's topic, which is made where it is not there and that is allowed.
    pub(crate) async fn topic(self: &Arc<Self>, stream: &StreamName) -> Result<Arc<Topic>> {
        self.check_open()?;
        if let Some(topic) = lock(&self.topics).get(stream) {
            return Ok(Arc::clone(topic));
        }
        if let Some(topic) = self.find_topic(stream).await? {
            return Ok(topic);
        }
        if !self.config.auto_create {
            return Err(Error::new(
                ErrorKind::NotFound,
                "there is no such topic; create it, or set `auto_create`",
            )
            .with("topic", names::topic(stream)));
        }
        let make = |name: String| Make {
            name,
            partitions: self
                .config
                .partitions
                .and_then(|count| i32::try_from(count).ok())
                .unwrap_or(-1),
            replication: self.config.replication.map_or(-1, i32::from),
            settings: self.stream_settings(),
        };
        match (
            self.make_topic(make(names::topic(stream))).await,
            names::second_choice(stream),
        ) {
            (Err(refused), Some(second)) if refused.kind() == ErrorKind::InvalidName => {
                self.make_topic(make(second.clone())).await?;
                return self.keep(stream, second).await;
            }
            (made, _) => made?,
        }
        self.keep(stream, names::topic(stream)).await
    }

    /// The stream's topic, if it is there.
    pub(crate) async fn find_topic(self: &Arc<Self>, stream: &StreamName) -> Result<Option<Arc<Topic>>> {
        if let Some(topic) = lock(&self.topics).get(stream) {
            return Ok(Some(Arc::clone(topic)));
        }
        for name in names::second_choice(stream)
            .into_iter()
            .chain([names::topic(stream)])
        {
            if let Some(partitions) = self.partitions_of(&name).await? {
                return Ok(Some(self.remember(stream, Topic { name, partitions })));
            }
        }
        Ok(None)
    }

    /// How many partitions a topic has; `None` where it is not there.
    pub(crate) async fn partitions_of(self: &Arc<Self>, name: &str) -> Result<Option<u32>> {
        let name = name.to_owned();
        self.ask(move |asker, within| partitions(asker, &name, within))
            .await
    }

    /// Forgets the stream's topic: it is gone, or has changed.
    pub(crate) fn forget_topic(&self, stream: &StreamName) {
        lock(&self.topics).remove(stream);
    }

    /// Makes a topic; that it is there already is fine.
    pub(crate) async fn make_topic(self: &Arc<Self>, make: Make) -> Result<()> {
        let admin = self.admin().await?;
        let mut topic = NewTopic::new(
            &make.name,
            make.partitions,
            TopicReplication::Fixed(make.replication),
        );
        for (key, value) in &make.settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(self.patience()))
            .operation_timeout(Some(self.patience()));
        let answer = admin.create_topics([&topic], &options).await;
        let answer = answer.map_err(|error| error::from_kafka(&error))?;
        match answer.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((name, code))) => Err(error::from_code(code).with("topic", name)),
            None => Err(error::odd("the answer to a request for a topic")),
        }
    }

    /// Waits until the servers know the topic that was made, and remembers it.
    async fn keep(self: &Arc<Self>, stream: &StreamName, name: String) -> Result<Arc<Topic>> {
        let partitions = self.wait_for_topic(name.clone()).await?;
        Ok(self.remember(stream, Topic { name, partitions }))
    }

    /// Waits until every partition of a topic has a leader; answers how many there are.
    pub(crate) async fn wait_for_topic(self: &Arc<Self>, name: String) -> Result<u32> {
        let until = Instant::now() + self.patience();
        loop {
            if let Some(partitions) = self.partitions_of(&name).await? {
                return Ok(partitions);
            }
            if Instant::now() > until {
                return Err(Error::new(ErrorKind::Timeout, "the new topic does not show up")
                    .retry(Retry::Safe)
                    .with("topic", name));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the servers know nothing more of a topic that was removed.
    pub(crate) async fn wait_until_gone(self: &Arc<Self>, name: &str) -> Result<()> {
        let until = Instant::now() + self.patience();
        while self.partitions_of(name).await?.is_some() {
            if Instant::now() > until {
                return Err(Error::new(ErrorKind::Timeout, "the removed topic is still there")
                    .retry(Retry::Safe)
                    .with("topic", name));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn remember(&self, stream: &StreamName, topic: Topic) -> Arc<Topic> {
        let mut topics = lock(&self.topics);
        if topics.len() >= KNOWN {
            topics.clear();
        }
        let topic = Arc::new(topic);
        topics.insert(stream.clone(), Arc::clone(&topic));
        topic
    }

    /// Settings of a topic that holds a group's own copies of messages.
    pub(crate) fn own_settings(&self, cleanup: &str) -> Vec<(&'static str, String)> {
        // What is told about the failure comes on top of the message.
        let largest = self.native.max_message + 64 * 1024;
        let mut settings = vec![
            ("cleanup.policy", cleanup.to_owned()),
            ("max.message.bytes", largest.to_string()),
        ];
        if let Some(retention) = self.config.retention.filter(|_| cleanup == "delete") {
            settings.push(("retention.ms", retention.as_millis().to_string()));
        }
        settings
    }

    fn stream_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("max.message.bytes", self.native.max_message.to_string())];
        if let Some(retention) = self.config.retention {
            settings.push(("retention.ms", retention.as_millis().to_string()));
        }
        settings
    }
}

/// How many partitions a topic has; `None` where it is not there, or not yet for all of them.
fn partitions(asker: &BaseConsumer<Quiet>, name: &str, within: Duration) -> KafkaResult<Option<u32>> {
    let metadata = asker.fetch_metadata(Some(name), within)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let Some(topic) = topic.filter(|topic| topic.error().is_none()) else {
        return Ok(None);
    };
    let led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
    let count = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
    Ok((led && count > 0).then_some(count))
}
