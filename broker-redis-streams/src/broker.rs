//! The provider's broker; it only translates.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker_core::base::{
    BaseBroker, Deliveries, Families, HealthReport, Members, Membership, Nack, OpenContext, PublishBatch,
    ReadRequest, Settle,
};
use broker_core::{Capabilities, LostCapability, Published, Result, Settlements, StreamName};

use crate::claims;
use crate::client::Client;
use crate::config::RedisStreamsConfig;
use crate::consumer::Consumer;
use crate::publish::Publisher;

/// A broker on Redis Streams.
pub struct RedisStreams {
    client: Arc<Client>,
    /// Members that read and settle without an endpoint.
    members: Members<Consumer>,
}

impl RedisStreams {
    /// A broker that has not connected yet.
    pub(crate) fn open(config: RedisStreamsConfig, context: OpenContext) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::new(config, context)?),
            members: Members::default(),
        })
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) async fn publisher_of(&self, stream: &StreamName) -> Result<Publisher> {
        Publisher::new(&self.client, stream).await
    }

    pub(crate) async fn member(&self, member: &Membership) -> Result<Arc<Consumer>> {
        let joining = Consumer::join(&self.client, member);
        self.members.of(member, joining).await
    }
}

impl BaseBroker for RedisStreams {
    fn capabilities(&self) -> Capabilities {
        claims::of(&self.client.config, &self.client.server())
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        claims::lost(&self.client.config, &self.client.server())
    }

    fn families(&self) -> Families<'_> {
        Families {
            dead_letters: Some(self),
            endpoints: Some(self),
            groups: Some(self),
            leases: Some(self),
            partitions: Some(self),
            replay: Some(self),
            retention: Some(self),
            streams: Some(self),
            transactions: None,
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
        self.client.command(&redis::cmd("PING")).await.map(|_| ())
    }

    fn health_stats(&self) -> HealthReport {
        let (client, server) = (&self.client, self.client.server());
        let detail = |name: &str, value: String| (name.to_owned(), value);
        HealthReport {
            warnings: server.warnings(),
            details: vec![
                detail("server", client.redis.address()),
                detail("server_version", server.to_string()),
                detail(
                    "connection",
                    if client.redis.is_connected() { "up" } else { "down" }.to_owned(),
                ),
                detail(
                    "groups_recreated",
                    client.recreated.load(Ordering::Relaxed).to_string(),
                ),
                detail(
                    "members_reaped",
                    client.reaped.load(Ordering::Relaxed).to_string(),
                ),
                detail("entries_lost", client.lost.load(Ordering::Relaxed).to_string()),
            ],
        }
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.client.connect().await
    }

    async fn close(&self) -> Result<()> {
        self.client.close().await;
        self.members.clear();
        Ok(())
    }
}
