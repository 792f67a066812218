//! The provider's broker; it only translates.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use broker_core::base::{
    BaseBroker, Deliveries, Families, HealthReport, Membership, Nack, OpenContext, PublishBatch, ReadRequest,
    Settle,
};
use broker_core::{Capabilities, ConsumerName, GroupName, Published, Result, Settlements, StreamName};

use crate::claims;
use crate::client::{Client, lock};
use crate::config::KafkaConfig;
use crate::consumer::Consumer;
use crate::native::Native;
use crate::publish::Publisher;

/// How many names that are used without an endpoint are kept.
const KEPT: usize = 1024;

/// A broker on Kafka.
pub struct Kafka {
    client: Arc<Client>,
    /// Members that read and settle without an endpoint.
    members: Mutex<HashMap<(StreamName, GroupName, ConsumerName), Arc<Consumer>>>,
    publishers: Mutex<HashMap<StreamName, Arc<Publisher>>>,
}

impl Kafka {
    /// A broker that has not connected yet.
    pub(crate) fn open(config: KafkaConfig, native: Native, context: OpenContext) -> Self {
        Self {
            client: Arc::new(Client::new(config, native, context)),
            members: Mutex::default(),
            publishers: Mutex::default(),
        }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) async fn publisher_of(&self, stream: &StreamName) -> Result<Arc<Publisher>> {
        if let Some(publisher) = lock(&self.publishers).get(stream) {
            return Ok(Arc::clone(publisher));
        }
        let publisher = Arc::new(Publisher::new(&self.client, stream).await?);
        let mut publishers = lock(&self.publishers);
        if publishers.len() >= KEPT {
            publishers.clear();
        }
        Ok(Arc::clone(publishers.entry(stream.clone()).or_insert(publisher)))
    }

    pub(crate) async fn member(&self, member: &Membership) -> Result<Arc<Consumer>> {
        let name = (
            member.stream.clone(),
            member.group.clone(),
            member.consumer.clone(),
        );
        let known = lock(&self.members)
            .get(&name)
            .filter(|consumer| consumer.member == *member)
            .cloned();
        if let Some(consumer) = known {
            return Ok(consumer);
        }
        let consumer = Consumer::join(&self.client, member).await?;
        let mut members = lock(&self.members);
        if members.len() >= KEPT {
            members.clear();
        }
        members.insert(name, Arc::clone(&consumer));
        Ok(consumer)
    }
}

impl BaseBroker for Kafka {
    fn capabilities(&self) -> Capabilities {
        claims::ALL
    }

    fn families(&self) -> Families<'_> {
        Families {
            dead_letters: Some(self),
            endpoints: Some(self),
            groups: Some(self),
            leases: Some(self),
            partitions: Some(self),
            replay: Some(self),
            retention: None,
            streams: Some(self),
            transactions: Some(self),
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.client.check_open()?;
        self.publisher_of(batch.stream())
            .await?
            .publish(batch.messages())
            .await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.client.check_open()?;
        let consumer = self.member(request.member).await?;
        consumer.read(request.max, request.wait).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.client.check_open()?;
        self.member(settle.member).await?.ack(settle.runs).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.client.check_open()?;
        let consumer = self.member(nack.settle.member).await?;
        consumer
            .nack(nack.settle.runs, nack.disposition, nack.failure)
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.client.ping(self.client.context.config.ping_timeout).await
    }

    fn health_stats(&self) -> HealthReport {
        let client = &self.client;
        let detail = |name: &str, value: String| (name.to_owned(), value);
        let mut report = HealthReport {
            warnings: client.producer_warning().into_iter().collect(),
            details: vec![
                detail("servers", client.config.servers()),
                detail(
                    "connection",
                    if client.is_connected() { "up" } else { "down" }.to_owned(),
                ),
                detail("messages_lost", client.lost.load(Ordering::Relaxed).to_string()),
            ],
        };
        for session in client.sessions.all() {
            session.describe(&mut report);
        }
        client.statistics.describe(&mut report);
        report
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.client.ping(self.client.context.config.connect_timeout).await
    }

    async fn close(&self) -> Result<()> {
        let answer = self.client.close().await;
        lock(&self.members).clear();
        answer
    }
}
