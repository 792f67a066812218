//! What most checks of settlement begin with: a broker, a stream, a group, and messages of one key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Broker, Capabilities, MessageId, Settled};

use crate::{CheckResult, Ledger, Options, Stop, Trial, ensure_eq};

/// The one key of a scene's messages, so that their order is promised where there are partitions.
pub(super) const KEY: &str = "k";

/// A broker, a stream, a group that exists, and a ledger of what was published.
pub(super) struct Scene<'a> {
    pub(super) t: &'a Trial,
    pub(super) broker: Broker,
    pub(super) stream: String,
    pub(super) group: String,
    pub(super) ledger: Arc<Ledger>,
}

/// A broker whose leases end soon.
pub(super) fn short_lease(t: &Trial) -> Options {
    Options::new().lease(t.timing().lease)
}

impl<'a> Scene<'a> {
    /// Opens a broker, makes the group by reading once, and publishes `count` messages.
    pub(super) async fn new(t: &'a Trial, options: Options, count: usize) -> CheckResult<Self> {
        let scene = Self {
            t,
            broker: t.broker_with(options).await?,
            stream: t.stream("s"),
            group: t.group("g"),
            ledger: Arc::new(t.ledger()),
        };
        scene.broker.read(&scene.stream, &scene.group, 1).await?;
        scene.publish(count).await?;
        Ok(scene)
    }

    /// Publishes `count` more messages.
    pub(super) async fn publish(&self, count: usize) -> CheckResult<Vec<MessageId>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.ledger
            .publish_many(&self.broker, &self.stream, 0, &[KEY.to_owned()], count)
            .await
    }

    /// Takes exactly `N` deliveries, in order, unsettled.
    #[track_caller]
    pub(super) fn take<const N: usize>(&self) -> impl Future<Output = CheckResult<[Delivery; N]>> {
        self.take_by(&self.broker)
    }

    /// Takes exactly `N` deliveries as another member of the group.
    #[track_caller]
    pub(super) fn take_by<'b, const N: usize>(
        &'b self,
        broker: &'b Broker,
    ) -> impl Future<Output = CheckResult<[Delivery; N]>> + 'b {
        let reading = self.t.read(broker, &self.stream, &self.group, N);
        async move {
            reading.await?.try_into().map_err(|other: Vec<Delivery>| {
                Stop::failed(format!("asked for {N} messages, got {}", other.len()))
            })
        }
    }

    /// Takes `count` deliveries, in order, unsettled.
    #[track_caller]
    pub(super) fn read(&self, count: usize) -> impl Future<Output = CheckResult<Vec<Delivery>>> {
        self.t.read(&self.broker, &self.stream, &self.group, count)
    }

    /// Watches that the group is handed nothing, for the quiet time.
    #[track_caller]
    pub(super) fn nothing(&self) -> impl Future<Output = CheckResult> {
        self.t.nothing(&self.broker, &self.stream, &self.group)
    }

    /// Watches that the group is handed nothing, for `duration`.
    #[track_caller]
    pub(super) fn nothing_within(&self, duration: Duration) -> impl Future<Output = CheckResult> {
        self.t
            .nothing_within(duration, &self.broker, &self.stream, &self.group)
    }

    /// Replaces the consumer by a new one. The old broker is closed last, as state in the process may end with it.
    pub(super) async fn restart(self, options: Options) -> CheckResult<Self> {
        let broker = self.t.broker_with(options).await?;
        self.broker.close().await?;
        Ok(Self { broker, ..self })
    }

    /// Which of the published messages this is.
    #[track_caller]
    pub(super) fn number(&self, delivery: &Delivery) -> CheckResult<u64> {
        match self.ledger.read(delivery.message()) {
            Some(entry) => Ok(entry.sequence),
            None => Err(Stop::failed(format!(
                "message {} is not as it was published",
                delivery.id()
            ))),
        }
    }

    /// Which of the published messages these are.
    pub(super) fn numbers(&self, deliveries: &[Delivery]) -> CheckResult<Vec<u64>> {
        deliveries.iter().map(|delivery| self.number(delivery)).collect()
    }

    /// Checks that one message was discarded, and that none lies with the dead letters.
    pub(super) async fn one_is_discarded(&self) -> CheckResult {
        let counts = self.broker.health_stats().await.counts;
        ensure_eq!(counts.discarded, 1, "discarded messages in health");
        ensure_eq!(counts.dead, 0, "dead letters in health");
        if self.t.has(Capabilities::DEAD_LETTER_QUEUE) {
            let dead = self.broker.dead_letters(&self.stream, &self.group)?;
            ensure_eq!(dead.depth().await?, 0, "dead letters");
        }
        Ok(())
    }

    /// Acks all, and checks that each took effect.
    pub(super) async fn ack_all(&self, deliveries: Vec<Delivery>) -> CheckResult {
        for delivery in deliveries {
            ensure_eq!(
                delivery.ack().await?,
                Settled::Acked,
                "the ack of {}",
                delivery.id()
            );
        }
        Ok(())
    }

    /// Takes one message and fails it so that it lies with the dead letters.
    pub(super) async fn bury(&self, count: usize) -> CheckResult {
        for delivery in self.read(count).await? {
            let reason = format!("failed: {}", self.number(&delivery)?);
            let answer = delivery
                .nack_with(NackOptions::new().dead_letter().reason(reason))
                .await?;
            ensure_eq!(answer, Settled::Nacked, "the nack of {}", delivery.id());
        }
        Ok(())
    }
}
