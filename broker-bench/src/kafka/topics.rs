//! Topics for the measurements.

use anyhow::anyhow;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::sync::Arc;

use super::{Kafka, raw};

/// Partitions of each topic.
const PARTITIONS: i32 = 4;

/// Creates and deletes topics.
#[derive(Clone)]
pub struct Topics {
    servers: String,
    admin: Arc<AdminClient<DefaultClientContext>>,
}

impl Topics {
    /// Connects to `servers`.
    pub fn new(servers: &str) -> anyhow::Result<Self> {
        Ok(Self {
            servers: servers.to_owned(),
            admin: Arc::new(raw::config(servers).create()?),
        })
    }

    /// Where the broker is.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    pub(super) fn place(&self, topic: String, filled: String, messages: usize) -> Kafka {
        Kafka {
            servers: self.servers.clone(),
            topic,
            filled,
            messages,
        }
    }

    /// Creates a topic.
    pub async fn create(&self, topic: &str) -> anyhow::Result<()> {
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        let answers = self.admin.create_topics(&[new], &AdminOptions::new()).await?;
        for answer in answers {
            answer.map_err(|(topic, error)| anyhow!("{topic} can't be created: {error}"))?;
        }
        Ok(())
    }

    /// Deletes a topic.
    pub async fn delete(&self, topic: &str) -> anyhow::Result<()> {
        let answers = self.admin.delete_topics(&[topic], &AdminOptions::new()).await?;
        for answer in answers {
            answer.map_err(|(topic, error)| anyhow!("{topic} can't be deleted: {error}"))?;
        }
        Ok(())
    }
}
