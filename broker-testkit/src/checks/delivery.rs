//! That everything arrives, once, and how often it was tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::broker::NackOptions;
use broker_core::{Broker, Capabilities, Settled};
use tokio::time::Instant;

use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Ledger, Options, Stop, Trial, ensure, ensure_eq};

const GUARANTEED: Gate =
    Gate::needs(Capabilities::DELIVERY_GUARANTEES).proves(Capabilities::DELIVERY_GUARANTEES);
const NACK: Gate = Gate::needs(Capabilities::ACK_NACK).proves(Capabilities::MESSAGE_REJECTION);

check!(
    at_least_once,
    "delivery.at_least_once",
    Quick,
    GUARANTEED,
    "Every message published Ok is delivered and acked, although one in ten is nacked or given back."
);

async fn at_least_once(t: &Trial) -> CheckResult {
    let flow = Flow::new(t, t.scale(1_000, 20_000)).await?;
    flow.run(t, 3, true).await?;
    let verdict = flow.ledger.verify()?;
    ensure_eq!(verdict.acked, flow.count as u64, "acked messages");
    t.note(verdict);
    t.nothing(&t.broker().await?, &flow.stream, &flow.group).await
}

check!(
    no_spurious_duplicates,
    "delivery.no_spurious_duplicates",
    Quick,
    GUARANTEED,
    "Without a nack, an ended lease, a fault or a rebalance, each message is delivered once."
);

async fn no_spurious_duplicates(t: &Trial) -> CheckResult {
    let flow = Flow::new(t, t.scale(1_000, 20_000)).await?;
    flow.run(t, 1, false).await?;
    t.nothing(&t.broker().await?, &flow.stream, &flow.group).await?;
    let verdict = flow.ledger.verify()?;
    ensure_eq!(verdict.acked, flow.count as u64, "acked messages");
    ensure_eq!(verdict.redelivered, 0, "redelivered messages");
    t.note(verdict);
    Ok(())
}

check!(
    attempt_count,
    "delivery.attempt_count",
    Quick,
    NACK,
    "Attempts count 1, 2, 3 …, whichever member of the group sees them."
);

async fn attempt_count(t: &Trial) -> CheckResult {
    let options = || Options::new().max_retries(20);
    let scene = Scene::new(t, options(), 1).await?;
    let other = t.broker_with(options()).await?;
    let members = [&scene.broker, &other];
    let until = Instant::now() + t.in_time();
    let mut expected = 1;
    for turn in (0..members.len()).cycle() {
        if expected > 6 {
            break;
        }
        ensure!(Instant::now() < until, "attempt {expected} did not come in time");
        let Some(member) = members.get(turn) else { break };
        for delivery in member.read(&scene.stream, &scene.group, 1).await? {
            ensure_eq!(delivery.attempt(), expected, "the attempt");
            expected += 1;
            let at_once = NackOptions::new().delay(Duration::ZERO);
            ensure_eq!(delivery.nack_with(at_once).await?, Settled::Nacked, "the nack");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

check!(
    attempt_survives_consumer,
    "delivery.attempt_survives_restart",
    Quick,
    NACK,
    "The attempts go on counting after the consumer is replaced."
);

async fn attempt_survives_consumer(t: &Trial) -> CheckResult {
    let mut scene = Scene::new(t, Options::new(), 1).await?;
    for attempt in 1..=3 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), attempt, "the attempt");
        delivery.nack().await?;
        drop(delivery);
        scene = scene.restart(Options::new()).await?;
    }
    Ok(())
}

/// Messages on their way from publishers to the consumers of one group.
struct Flow {
    stream: String,
    group: String,
    ledger: Arc<Ledger>,
    count: usize,
}

impl Flow {
    async fn new(t: &Trial, count: usize) -> CheckResult<Self> {
        let flow = Self {
            stream: t.stream("s"),
            group: t.group("g"),
            ledger: Arc::new(t.ledger()),
            count,
        };
        t.broker().await?.read(&flow.stream, &flow.group, 1).await?;
        Ok(flow)
    }

    /// Publishes from four tasks and consumes by `consumers` members, until every message is acked.
    async fn run(&self, t: &Trial, consumers: usize, failing: bool) -> CheckResult {
        const PUBLISHERS: u32 = 4;
        const BATCH: usize = 50;
        let mut tasks = Vec::new();
        let acked = Arc::new(AtomicUsize::new(0));
        let until = Instant::now() + t.in_time() * t.scale(1, 3);
        for number in 0..consumers {
            let seed = t.seed().wrapping_add(number as u64);
            let options = Options::new().max_retries(1_000).set("retry_delay", "5ms");
            let consumer = Consumer {
                broker: t.broker_with(options).await?,
                stream: self.stream.clone(),
                group: self.group.clone(),
                ledger: Arc::clone(&self.ledger),
                random: fastrand::Rng::with_seed(seed),
                failing,
            };
            tasks.push(tokio::spawn(consumer.run(Arc::clone(&acked), self.count, until)));
        }
        for publisher in 0..PUBLISHERS {
            let (broker, stream, ledger) = (t.broker().await?, self.stream.clone(), Arc::clone(&self.ledger));
            let batches = self.count / PUBLISHERS as usize / BATCH;
            tasks.push(tokio::spawn(async move {
                let keys: Vec<_> = (0..16).map(|key| format!("{publisher}-{key}")).collect();
                for _ in 0..batches {
                    ledger
                        .publish_many(&broker, &stream, publisher, &keys, BATCH)
                        .await?;
                }
                Ok(())
            }));
        }
        for task in tasks {
            task.await.map_err(Stop::failed)??;
        }
        let acked = acked.load(Ordering::Relaxed);
        ensure!(
            acked >= self.count,
            "{acked} of {} messages were acked in time: {}",
            self.count,
            self.ledger.verdict()
        );
        Ok(())
    }
}

/// A member of the group, in a task of its own.
struct Consumer {
    broker: Broker,
    stream: String,
    group: String,
    ledger: Arc<Ledger>,
    random: fastrand::Rng,
    failing: bool,
}

impl Consumer {
    async fn run(mut self, acked: Arc<AtomicUsize>, count: usize, until: Instant) -> CheckResult {
        while acked.load(Ordering::Relaxed) < count && Instant::now() < until {
            let batch = self.broker.read(&self.stream, &self.group, 50).await?;
            if batch.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            for delivery in batch {
                if self.failing && self.random.u8(..10) == 0 {
                    self.ledger.delivered(&self.group, &delivery);
                    self.ledger.excuse(&self.group, &delivery);
                    let options = NackOptions::new();
                    let options = if self.random.bool() {
                        options.give_back()
                    } else {
                        options
                    };
                    ensure_eq!(delivery.nack_with(options).await?, Settled::Nacked, "a nack");
                    continue;
                }
                ensure_eq!(self.ledger.ack(&delivery).await?, Settled::Acked, "an ack");
                acked.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
