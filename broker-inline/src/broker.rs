//! The broker trait, translated.

use std::sync::Arc;

use broker_core::base::{
    BaseBroker, Deliveries, Families, HealthReport, Nack, OpenContext, PublishBatch, ReadRequest, Settle,
};
use broker_core::{Capabilities, LostCapability, Published, Result, Settled, Settlements};

use crate::config::InlineConfig;
use crate::session::Session;

/// An in-process broker.
#[derive(Clone, Debug)]
pub struct InlineBroker {
    pub(crate) session: Arc<Session>,
}

impl InlineBroker {
    pub(crate) fn open(config: &InlineConfig, context: &OpenContext) -> Result<Self> {
        Ok(Self {
            session: Arc::new(Session::open(config, context)?),
        })
    }
}

impl BaseBroker for InlineBroker {
    fn capabilities(&self) -> Capabilities {
        self.session.capabilities()
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        self.session.lost_capabilities()
    }

    fn families(&self) -> Families<'_> {
        let has = |flag| self.session.has(flag);
        Families {
            dead_letters: has(Capabilities::DEAD_LETTER_QUEUE).then_some(self),
            endpoints: Some(self),
            groups: has(Capabilities::CONSUMER_GROUPS).then_some(self),
            leases: has(Capabilities::LEASE_EXTENSION).then_some(self),
            partitions: has(Capabilities::STREAM_PARTITIONING).then_some(self),
            replay: has(Capabilities::REPLAY).then_some(self),
            retention: has(Capabilities::RETENTION).then_some(self),
            streams: Some(self),
            transactions: None,
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.session.check(Capabilities::PUBLISH)?;
        let stream = self.session.hub.stream(batch.stream())?;
        self.session.publish(&stream, batch.into_inner()).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.session.check_wait(request.wait)?;
        let (stream, group, consumer) = self.session.enter(request.member)?;
        let start = &request.member.start;
        self.session
            .read(&stream, &group, &consumer, start, request.max, request.wait)
            .await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.session.check(Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        match self.session.find(settle.member) {
            Some(found) => {
                self.session
                    .ack(&found.stream, &found.group, found.member.as_deref(), settle.runs)
            }
            None => Ok(Settlements::all(Settled::NotPending, settle.len())),
        }
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.session.check_nack(nack.disposition)?;
        let Nack {
            settle,
            disposition,
            failure,
        } = nack;
        match self.session.find(settle.member) {
            Some(found) => {
                let member = found.member.as_deref();
                self.session.nack(
                    &found.stream,
                    &found.group,
                    member,
                    settle.runs,
                    disposition,
                    failure,
                )
            }
            None => Ok(Settlements::all(Settled::NotPending, settle.len())),
        }
    }

    async fn ping(&self) -> Result<()> {
        self.session.check(Capabilities::empty())
    }

    fn health_stats(&self) -> HealthReport {
        self.session.health()
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.session.check(Capabilities::empty())
    }

    async fn close(&self) -> Result<()> {
        self.session.close();
        Ok(())
    }
}
