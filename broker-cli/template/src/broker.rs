//! What the framework calls: each method translates, and leaves the work to the client.

use std::sync::atomic::{AtomicBool, Ordering};

use broker_core::base::{
    BaseBroker, Deliveries, HealthReport, Nack, PublishBatch, ReadRequest, Settle,
};
use broker_core::{Capabilities, Error, Published, Result, Settlements};

use crate::client::Client;
use crate::error::failed;
use crate::{CLAIMS, TemplateConfig};

/// A broker of the provider `template`.
pub struct TemplateBroker {
    client: Client,
    closed: AtomicBool,
}

impl TemplateBroker {
    pub(crate) fn new(config: TemplateConfig) -> Self {
        Self {
            client: Client::new(&config),
            closed: AtomicBool::new(false),
        }
    }

    /// The client, unless this broker is closed.
    fn client(&self) -> Result<&Client> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        Ok(&self.client)
    }
}

impl BaseBroker for TemplateBroker {
    fn capabilities(&self) -> Capabilities {
        CLAIMS
    }

    async fn publish(&self, _: PublishBatch<'_>) -> Result<Published> {
        Err(Error::unsupported(Capabilities::PUBLISH))
    }

    async fn read(&self, _: ReadRequest<'_>) -> Result<Deliveries> {
        Err(Error::unsupported(Capabilities::CONSUMER_GROUPS))
    }

    async fn ack(&self, _: Settle<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    }

    async fn nack(&self, _: Nack<'_>) -> Result<Settlements> {
        Err(Error::unsupported(Capabilities::MESSAGE_REJECTION))
    }

    async fn ping(&self) -> Result<()> {
        let client = self.client()?;
        client
            .ping()
            .await
            .map_err(|error| failed(error, client.address()))
    }

    fn health_stats(&self) -> HealthReport {
        HealthReport {
            details: vec![("address".to_owned(), self.client.address().to_owned())],
            ..HealthReport::default()
        }
    }

    async fn ensure_connection(&self) -> Result<()> {
        let client = self.client()?;
        client
            .connect()
            .await
            .map_err(|error| failed(error, client.address()))
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
