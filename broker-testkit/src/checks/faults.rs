//! What servers and networks do to messages on their way: section 9 of the catalogue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::{Broker, Capabilities, Message, Outcome, Settled};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::fault_times::Faults;
use crate::check::check;
use crate::{
    CheckResult, Gate, Ledger, NetProxy, Options, Part, ServerControl, Stop, Trial, ensure, ensure_eq,
};

const GUARANTEED: Gate =
    Gate::needs(Capabilities::RELIABLE_MESSAGING).proves(Capabilities::DELIVERY_GUARANTEES);

/// Longer than a call takes where nothing is disturbed, and shorter than the disturbances.
const LEASE: Duration = Duration::from_secs(2);

/// How many messages flow before and after the consumers change, once the faults are over.
const CALM: usize = 200;

/// Between two tries of a client whose server is away.
const PAUSE: Duration = Duration::from_millis(20);

check!(
    server_kill9,
    "fault.server_kill9",
    Chaos,
    GUARANTEED.durable().part(Part::Server),
    "A server that syncs each write is killed again and again: nothing that was answered Ok is lost."
);

async fn server_kill9(t: &Trial) -> CheckResult {
    let server = server(t)?;
    server.configure("fsync", "always").await?;
    storm(t, 2_000, async |random, faults| {
        for _ in 0..4 {
            sleep(Duration::from_millis(random.u64(200..900))).await;
            let _fault = faults.begin();
            server.kill().await?;
            sleep(Duration::from_millis(random.u64(0..400))).await;
            server.start().await?;
            server.configure("fsync", "always").await?;
        }
        Ok(())
    })
    .await?;
    Ok(server.configure("fsync", "everysec").await?)
}

check!(
    server_restart_midflow,
    "fault.server_restart_midflow",
    Chaos,
    GUARANTEED.durable().part(Part::Server),
    "The server is stopped and started while messages flow: all that was answered Ok is delivered, without a hand."
);

async fn server_restart_midflow(t: &Trial) -> CheckResult {
    let server = server(t)?;
    storm(t, 10_000, async |random, faults| {
        for _ in 0..2 {
            sleep(Duration::from_millis(random.u64(300..800))).await;
            let _fault = faults.begin();
            server.stop().await?;
            sleep(Duration::from_secs(2)).await;
            server.start().await?;
        }
        Ok(())
    })
    .await
}

check!(
    connection_drop,
    "fault.connection_drop",
    Chaos,
    GUARANTEED.part(Part::Proxy),
    "Connections are cut every half second: work goes on by itself, and nothing is lost."
);

async fn connection_drop(t: &Trial) -> CheckResult {
    let proxy = proxy(t)?;
    storm(t, 10_000, async |_, faults| {
        for _ in 0..16 {
            sleep(Duration::from_millis(500)).await;
            let _fault = faults.begin();
            proxy.cut().await?;
        }
        Ok(())
    })
    .await
}

check!(
    half_open,
    "fault.half_open",
    Chaos,
    GUARANTEED.part(Part::Proxy),
    "A connection that goes silent is given up, and work goes on once the network is back."
);

async fn half_open(t: &Trial) -> CheckResult {
    let proxy = proxy(t)?;
    storm(t, 5_000, async |_, faults| {
        sleep(Duration::from_millis(300)).await;
        let _fault = faults.begin();
        proxy.half_open().await?;
        sleep(Duration::from_secs(8)).await;
        Ok(proxy.heal().await?)
    })
    .await
}

check!(
    slow_network,
    "fault.slow_network",
    Chaos,
    Gate::needs(Capabilities::SIMPLE_QUEUING)
        .proves(Capabilities::empty())
        .part(Part::Proxy),
    "A network that takes 200 ms each way makes work slow and not wrong, with the settings as they are."
);

async fn slow_network(t: &Trial) -> CheckResult {
    let (proxy, ledger) = (proxy(t)?, t.ledger());
    let (broker, stream, group) = (t.broker().await?, t.stream("s"), t.group("g"));
    drop(broker.read(&stream, &group, 1).await?);
    proxy.delay(Duration::from_millis(200)).await?;
    for _ in 0..5 {
        ledger
            .publish_many(&broker, &stream, 0, &["k".to_owned()], 10)
            .await?;
    }
    for delivery in t.read(&broker, &stream, &group, 50).await? {
        ledger.delivered(&group, delivery.message());
        if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            delivery.ack_later();
        }
    }
    broker.ping().await?;
    proxy.heal().await?;
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    publish_uncertain,
    "fault.publish_uncertain",
    Chaos,
    Gate::needs(Capabilities::PUBLISH)
        .proves(Capabilities::empty())
        .part(Part::Proxy),
    "A publish that is cut off between request and answer says that nobody knows, or is sent again and stored once; the next one works."
);

async fn publish_uncertain(t: &Trial) -> CheckResult {
    let proxy = proxy(t)?;
    let (broker, stream, group) = (t.broker().await?, t.stream("s"), t.group("g"));
    if t.has(Capabilities::CONSUMER_GROUPS) {
        t.group_before(&broker, &stream, &group).await?;
    }
    broker.publish(&stream, Message::text("before")).await?;
    proxy.cut_after(0).await?;
    let published = broker
        .publish_batch(&stream, vec![Message::text("cut off")])
        .await?;
    let outcome = published.outcome(0);
    let stored = matches!(outcome, Some(Outcome::Stored(_)));
    ensure!(
        stored || matches!(outcome, Some(Outcome::Unknown(_))),
        "the answer was cut off, and the outcome is {outcome:?}"
    );
    proxy.heal().await?;
    t.eventually("publishing works again", || async {
        Ok(broker.publish(&stream, Message::text("after")).await.is_ok())
    })
    .await?;
    if stored && t.has(Capabilities::CONSUMER_GROUPS) {
        // A client may send it again by itself, as long as that does not double it.
        let deliveries = t.read(&broker, &stream, &group, 3).await?;
        let again = |delivery: &&Delivery| delivery.payload().as_ref() == b"cut off";
        ensure_eq!(
            deliveries.iter().filter(again).count(),
            1,
            "how often the message that was cut off is stored"
        );
    }
    Ok(())
}

fn server(t: &Trial) -> CheckResult<&dyn ServerControl> {
    let missing = || Stop::NotExercised(Part::Server.to_string());
    t.harness().server().ok_or_else(missing)
}

fn proxy(t: &Trial) -> CheckResult<&dyn NetProxy> {
    let missing = || Stop::NotExercised(Part::Proxy.to_string());
    t.harness().proxy().ok_or_else(missing)
}

/// Publishes and consumes while `disturb` runs, then in calm, and goes on until every message that is stored was delivered.
async fn storm(
    t: &Trial,
    count: usize,
    disturb: impl AsyncFnOnce(&mut fastrand::Rng, &Faults) -> CheckResult,
) -> CheckResult {
    let flow = Arc::new(Flow {
        ledger: t.ledger(),
        faults: Faults::new(t.timing().ack_lag),
        stream: t.stream("s"),
        group: t.group("g"),
        ended: AtomicBool::new(false),
    });
    let options = || {
        Options::new()
            .lease(LEASE)
            .max_retries(1_000)
            .set("operation_timeout", "5s")
            .set("connect_timeout", "2s")
            .set("circuit_breaker_reset", "200ms")
    };
    let first = t.broker_with(options()).await?;
    drop(first.read(&flow.stream, &flow.group, 1).await?);
    let mut publishing = JoinSet::new();
    for publisher in 0..4 {
        let broker = t.broker_with(options()).await?;
        publishing.spawn(Arc::clone(&flow).publish(broker, publisher, count / 4));
    }
    let mut consuming = JoinSet::new();
    consuming.spawn(Arc::clone(&flow).consume(first));
    consuming.spawn(Arc::clone(&flow).consume(t.broker_with(options()).await?));
    let (publisher, later) = (t.broker_with(options()).await?, t.broker_with(options()).await?);
    let mut random = fastrand::Rng::with_seed(t.seed());
    let disturbed = disturb(&mut random, &flow.faults).await;
    while publishing.join_next().await.is_some() {}
    if disturbed.is_ok() {
        flow.catch_up(t).await;
        // Where a fault may undo an ack for a while, only what is acked after that proves anything about duplicates.
        sleep(t.timing().ack_lag).await;
        Arc::clone(&flow).publish(publisher.clone(), 4, CALM).await;
        flow.catch_up(t).await;
        flow.end(&mut consuming).await;
        // Who comes later gets what is new, and nothing that was acked in the calm.
        consuming.spawn(Arc::clone(&flow).consume(later));
        Arc::clone(&flow).publish(publisher, 5, CALM).await;
        flow.catch_up(t).await;
    }
    flow.end(&mut consuming).await;
    disturbed?;
    let verdict = flow.ledger.verify()?;
    ensure!(verdict.published > 0, "nothing was published: {verdict}");
    t.note(verdict);
    Ok(())
}

/// Messages that flow whatever happens.
struct Flow {
    ledger: Ledger,
    faults: Faults,
    stream: String,
    group: String,
    ended: AtomicBool,
}

impl Flow {
    /// Waits until every message that is stored was delivered, or for long enough.
    async fn catch_up(&self, t: &Trial) {
        let until = Instant::now() + t.in_time() * 4;
        let is_behind = || {
            let verdict = self.ledger.verdict();
            // Nothing counts as lost before the first delivery: who joined late has all of it before them.
            verdict.lost > 0 || verdict.delivered == 0
        };
        while is_behind() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends those who consume, with all that they settled told.
    async fn end(&self, consuming: &mut JoinSet<()>) {
        self.ended.store(true, Ordering::Release);
        while consuming.join_next().await.is_some() {}
        self.ended.store(false, Ordering::Release);
    }

    /// Publishes batch after batch, and notes what came of each.
    async fn publish(self: Arc<Self>, broker: Broker, publisher: u32, count: usize) {
        const BATCH: usize = 10;
        for _ in 0..count / BATCH {
            let messages: Vec<_> = (0..BATCH)
                .map(|_| self.ledger.message_of(publisher, None, 0))
                .collect();
            match broker.publish_batch(&self.stream, messages.clone()).await {
                Ok(published) => self.ledger.published(&messages, &published),
                Err(_) => sleep(PAUSE).await,
            }
            // The flow is to last as long as the disturbance does.
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Reads and acks, also what comes again.
    async fn consume(self: Arc<Self>, broker: Broker) {
        while !self.ended.load(Ordering::Acquire) {
            let Ok(batch) = broker.read(&self.stream, &self.group, 50).await else {
                sleep(PAUSE).await;
                continue;
            };
            if batch.is_empty() {
                sleep(Duration::from_millis(2)).await;
            }
            let taken = Instant::now();
            for delivery in batch {
                if taken.elapsed() > LEASE / 2 {
                    // While an ack hung, the leases of the rest may have ended: somebody else has them.
                    break;
                }
                if delivery.attempt() > 1 {
                    // Its lease ended while the server was away.
                    self.ledger.excuse(&self.group, delivery.message());
                }
                let entry = self.ledger.read(delivery.message());
                if let Some(entry) = entry
                    && self.faults.may_have_undone(entry)
                {
                    self.ledger.forgot_entry(&self.group, entry);
                    self.ledger.excuse_entry(&self.group, entry);
                }
                self.ledger.delivered(&self.group, delivery.message());
                if let Ok(answer) = delivery.ack().await {
                    self.ledger.settled(&self.group, delivery.message(), answer);
                    if let (Settled::Acked, Some(entry)) = (answer, entry) {
                        self.faults.acked(entry);
                    }
                }
            }
        }
        // What it fails to settle comes again, and is excused by its attempt.
        let _ = broker.close().await;
    }
}
