//! The provider's broker; it only translates.

use std::sync::Arc;

use broker_core::base::{
    BaseBroker, Deliveries, Families, HealthReport, Members, Membership, Nack, OpenContext, PublishBatch,
    ReadRequest, Settle,
};
use broker_core::{Capabilities, GroupName, LostCapability, Published, Result, Settlements, StreamName};

use crate::claims;
use crate::client::Client;
use crate::config::RabbitMqConfig;
use crate::consumer::Consumer;
use crate::log;
use crate::ordered;
use crate::publish::Publisher;

/// A broker on RabbitMQ.
pub struct RabbitMq {
    client: Arc<Client>,
    /// Members that read and settle without an endpoint.
    members: Members<Consumer>,
    ordered: Members<ordered::Member>,
    logged: Members<log::Member>,
}

impl RabbitMq {
    /// A broker that has not connected yet.
    pub(crate) fn open(config: RabbitMqConfig, context: OpenContext) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::new(config, context)),
            members: Members::default(),
            ordered: Members::default(),
            logged: Members::default(),
        })
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whether the messages of one key come in order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.client.config.single_active_consumer
    }

    /// A member of a group that is read in order.
    pub(crate) async fn ordered(&self, member: &Membership) -> Result<Arc<ordered::Member>> {
        let joining = ordered::Member::join(&self.client, member);
        self.ordered.of(member, joining).await
    }

    /// Whether all groups of a stream read one log.
    pub(crate) fn is_log(&self) -> bool {
        self.client.config.is_log()
    }

    /// A member of a group that reads a log.
    pub(crate) async fn logged(&self, member: &Membership) -> Result<Arc<log::Member>> {
        let joining = log::Member::join(&self.client, member);
        self.logged.of(member, joining).await
    }

    /// Forgets the members of a group that reads a log.
    pub(crate) fn forget_log_members(&self, stream: &StreamName, group: &GroupName) {
        self.logged.forget(stream, group);
    }

    async fn member(&self, member: &Membership) -> Result<Arc<Consumer>> {
        let joining = Consumer::join(&self.client, member);
        self.members.of(member, joining).await
    }
}

impl BaseBroker for RabbitMq {
    fn capabilities(&self) -> Capabilities {
        claims::of(&self.client.config)
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        claims::lost(&self.client.config)
    }

    fn families(&self) -> Families<'_> {
        let claims = self.capabilities();
        Families {
            dead_letters: claims
                .contains(Capabilities::DEAD_LETTER_QUEUE)
                .then_some(self as _),
            endpoints: Some(self),
            groups: self.is_log().then_some(self as _),
            leases: Some(self),
            replay: claims.contains(Capabilities::REPLAY).then_some(self as _),
            ..Families::default()
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.client.check_open()?;
        Publisher::new(&self.client, batch.stream())
            .await?
            .publish(batch.messages())
            .await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.client.check_open()?;
        if self.is_log() {
            let member = self.logged(request.member).await?;
            return member.read(request.max, request.wait).await;
        }
        if self.is_ordered() {
            let member = self.ordered(request.member).await?;
            return member.read(request.max, request.wait).await;
        }
        self.member(request.member)
            .await?
            .read(request.max, request.wait)
            .await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.client.check_open()?;
        if self.is_log() {
            return self.logged(settle.member).await?.ack(settle.runs).await;
        }
        if self.is_ordered() {
            return self.ordered(settle.member).await?.ack(settle.runs).await;
        }
        self.client.ack(settle.member, settle.runs).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.client.check_open()?;
        let settle = nack.settle;
        if self.is_log() {
            let member = self.logged(settle.member).await?;
            return member.nack(settle.runs, nack.disposition, nack.failure).await;
        }
        if self.is_ordered() {
            let member = self.ordered(settle.member).await?;
            return member.nack(settle.runs, nack.disposition, nack.failure).await;
        }
        self.client
            .nack(settle.member, settle.runs, nack.disposition, nack.failure)
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.client.ping().await
    }

    fn health_stats(&self) -> HealthReport {
        let client = &self.client;
        let detail = |name: &str, value: String| (name.to_owned(), value);
        let state = |up: bool| if up { "up" } else { "down" }.to_owned();
        let servers: Vec<_> = client
            .config
            .servers()
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        let members = client.members();
        let held: usize = members.iter().map(|member| member.held()).sum();
        let mut report = HealthReport {
            warnings: client
                .publishing
                .blocked()
                .map(|reason| format!("the server takes no messages: {reason}"))
                .into_iter()
                .collect(),
            details: vec![
                detail("servers", servers.join(",")),
                detail("queue_type", client.config.queue_type.as_str().to_owned()),
                detail("publishing", state(client.publishing.live().is_some())),
                detail("consuming", state(client.consuming.live().is_some())),
                detail("sessions", members.len().to_string()),
                detail("held", held.to_string()),
            ],
        };
        client.groups.describe(&mut report);
        client.readers.describe(&mut report);
        report
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.client.to_consume().await?;
        self.client.to_publish().await?;
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.client.close().await;
        self.members.clear();
        self.ordered.clear();
        self.logged.clear();
        Ok(())
    }
}
