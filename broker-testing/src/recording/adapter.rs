//! The in-process broker, with a tape on its publishing side.

use std::sync::Arc;

use broker_core::base::{
    BaseBroker, BoxFuture, Deliveries, Endpoints, Families, HealthReport, ListenRequest, Membership, Nack,
    OpenContext, PublishBatch, PublishEndpoint, ReadEndpoint, ReadRequest, Settle,
};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{
    Capabilities, LostCapability, Message, Published, Result, Settlements, StreamName, async_trait,
};
use broker_inline::{InlineBroker, InlineConfig};
use serde::Deserialize;

use super::tape::Tape;

/// Opened from code only, and so not registered.
static PROVIDER: Provider = Provider::new::<RecordingConfig>("recording", env!("CARGO_PKG_NAME"));

/// The settings of the in-process broker below, and where publishing is recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RecordingConfig {
    #[serde(skip)]
    pub(crate) inline: InlineConfig,
    #[serde(skip)]
    pub(crate) tape: Tape,
}

impl ProviderConfig for RecordingConfig {
    type Broker = Recording;

    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, context: OpenContext) -> Result<Recording> {
        Ok(Recording {
            inner: self.inline.open(context)?,
            tape: self.tape,
        })
    }
}

/// The in-process broker, with a tape on its publishing side.
pub(crate) struct Recording {
    inner: InlineBroker,
    tape: Tape,
}

impl Recording {
    /// Publishes a copy: the messages themselves stay with the caller, as on a broker with a server.
    async fn record(&self, stream: &StreamName, messages: &[Message]) -> Result<Published> {
        let (kept, mut sent) = (messages.to_vec(), messages.to_vec());
        let published = self.inner.publish(PublishBatch::new(stream, &mut sent)).await?;
        self.tape.record(stream, kept, &published);
        Ok(published)
    }
}

impl BaseBroker for Recording {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        self.inner.lost_capabilities()
    }

    fn families(&self) -> Families<'_> {
        Families {
            endpoints: Some(self),
            ..self.inner.families()
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.record(batch.stream(), batch.messages()).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.inner.read(request).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.inner.ack(settle).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.inner.nack(nack).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    fn health_stats(&self) -> HealthReport {
        self.inner.health_stats()
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.inner.ensure_connection().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl Endpoints for Recording {
    async fn publisher(&self, stream: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(Arc::new(Taped {
            stream: stream.clone(),
            recording: Self {
                inner: self.inner.clone(),
                tape: self.tape.clone(),
            },
        }))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        self.inner.reader(member).await
    }

    async fn listener(&self, request: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        self.inner.listener(request).await
    }
}

/// A stream to publish to. It takes no short way past the tape.
struct Taped {
    stream: StreamName,
    recording: Recording,
}

impl PublishEndpoint for Taped {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(self.recording.record(&self.stream, messages))
    }
}
