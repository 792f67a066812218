//! The in-process broker with an unreliable way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker::base::{
    BaseBroker, Deliveries, Disposition, Families, HealthReport, Nack, OpenContext, PublishBatch,
    ReadRequest, Settle,
};
use broker::config::BrokerConfig;
use broker::inline::{InlineBroker, InlineConfig};
use broker::registry::{Provider, ProviderConfig};
use broker::{Brokers, Capabilities, Error, ErrorKind, Published, Result, Retry, Settlements};
use serde::Deserialize;

static PROVIDER: Provider = Provider::new::<FaultyConfig>("faulty", "broker-engine");

/// What goes wrong from now on, so often each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Writes to a stream of dead letters fail, and store nothing.
    pub(crate) dead_writes: Arc<AtomicUsize>,
    /// Acks do not arrive.
    pub(crate) acks: Arc<AtomicUsize>,
    /// Dead letters are written by the broker, and the answer is lost.
    pub(crate) burials: Arc<AtomicUsize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FaultyConfig {
    #[serde(skip)]
    inner: InlineConfig,
    #[serde(skip)]
    faults: Faults,
}

struct FaultyBroker {
    inner: InlineBroker,
    faults: Faults,
}

impl ProviderConfig for FaultyConfig {
    type Broker = FaultyBroker;

    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, context: OpenContext) -> Result<FaultyBroker> {
        Ok(FaultyBroker {
            inner: self.inner.open(context)?,
            faults: self.faults,
        })
    }
}

/// A broker with these settings behind these faults.
pub(crate) fn faulty(inner: InlineConfig, faults: &Faults) -> Brokers {
    let config = FaultyConfig {
        inner,
        faults: faults.clone(),
    };
    let common = BrokerConfig::default();
    let builder = Brokers::builder().named_with("default", common, config);
    builder.build().unwrap()
}

fn happens(fault: &AtomicUsize) -> bool {
    let spend = |left: usize| left.checked_sub(1);
    fault
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
        .is_ok()
}

/// One that core does not try again by itself.
fn broken(what: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, what).retry(Retry::Never)
}

impl BaseBroker for FaultyBroker {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn families(&self) -> Families<'_> {
        Families {
            // Readers of their own would settle past the faults.
            endpoints: None,
            ..self.inner.families()
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        if batch.stream().as_str().ends_with(".dead") && happens(&self.faults.dead_writes) {
            return Err(broken("the place for dead letters is away"));
        }
        self.inner.publish(batch).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.inner.read(request).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        if happens(&self.faults.acks) {
            return Err(broken("the ack was lost"));
        }
        self.inner.ack(settle).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        let buries = nack.disposition == Disposition::DeadLetter;
        let answer = self.inner.nack(nack).await?;
        if buries && happens(&self.faults.burials) {
            return Err(broken("the answer was lost"));
        }
        Ok(answer)
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
