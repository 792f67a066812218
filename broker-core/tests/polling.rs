//! Consumers of a broker without `BLOCKING_READ` wait as those of any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::base::{
    BaseBroker, Deliveries, HealthReport, Lot, Nack, OpenContext, PublishBatch, ReadRequest, Settle,
};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{Broker, Capabilities, ErrorKind, Message, Published, Receipt, Result, Settlements};
use serde::Deserialize;
use tokio::time::Instant;

static PROVIDER: Provider = Provider::new::<LateConfig>("late", "tests");

/// Has one message, from a moment on, and can't wait for it.
#[derive(Clone, Deserialize)]
struct LateConfig {
    #[serde(skip)]
    reads: Arc<AtomicUsize>,
    after: u64,
}

struct LateBroker {
    config: LateConfig,
    opened: Instant,
}

impl ProviderConfig for LateConfig {
    type Broker = LateBroker;
    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, _: OpenContext) -> Result<LateBroker> {
        Ok(LateBroker {
            config: self,
            opened: Instant::now(),
        })
    }
}

impl BaseBroker for LateBroker {
    fn capabilities(&self) -> Capabilities {
        Capabilities::SIMPLE_QUEUING
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        Ok(Published::run(0, 0, batch.len()))
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        assert_eq!(
            request.wait,
            Duration::ZERO,
            "it can't wait and must not be asked to"
        );
        self.config.reads.fetch_add(1, Ordering::Relaxed);
        if self.opened.elapsed() < Duration::from_secs(self.config.after) {
            return Ok(Deliveries::new());
        }
        let receipt = Receipt {
            attempt: 1,
            ..Receipt::default()
        };
        Ok(Deliveries::one(Lot::each(
            Arc::new(vec![Message::text("late")]),
            vec![receipt],
        )))
    }

    async fn ack(&self, _: Settle<'_>) -> Result<Settlements> {
        unreachable!("not claimed")
    }

    async fn nack(&self, _: Nack<'_>) -> Result<Settlements> {
        unreachable!("not claimed")
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn health_stats(&self) -> HealthReport {
        HealthReport::default()
    }

    async fn ensure_connection(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn late(after: u64) -> LateConfig {
    LateConfig {
        reads: Arc::default(),
        after,
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_waits_for_it_and_asks_now_and_then() {
    let config = late(3600);
    let reads = Arc::clone(&config.reads);
    let broker = Broker::open(config).unwrap();
    let mut subscription = broker.subscribe("s", "g").start().await.unwrap();
    let delivery = subscription.next().await.unwrap().unwrap();
    assert_eq!(delivery.payload().as_ref(), b"late");
    let reads = reads.load(Ordering::Relaxed);
    assert!((3600..3600 * 6).contains(&reads), "{reads} reads in an hour");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_wait() {
    let broker = Broker::open(late(3600)).unwrap();
    let mut subscription = broker.subscribe("s", "g").start().await.unwrap();
    let waiting = tokio::spawn(async move { subscription.next().await.is_none() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    broker.close().await.unwrap();
    assert!(waiting.await.unwrap(), "a closed broker's subscription ends");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_read_that_is_told_to_wait_is_unsupported() {
    let broker = Broker::open(late(0)).unwrap();
    let error = broker
        .read_wait("s", "g", 1, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
