//! What reading answers.

use std::time::{Duration, Instant};

use broker_core::{Broker, Capabilities, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Part, Stop, Trial, ensure, ensure_eq, within};

const GROUPS: Gate = Gate::needs(Capabilities::CONSUMER_GROUPS.union(Capabilities::BASIC_PUBSUB))
    .proves(Capabilities::SUBSCRIBE.union(Capabilities::CONSUMER_GROUPS));

check!(
    empty,
    "read.empty",
    Quick,
    GROUPS,
    "Where nothing is, a read that does not wait answers an empty batch, at once."
);

async fn empty(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    ensure!(
        broker.read(&stream, &group, 10).await?.is_empty(),
        "a stream that nobody made has messages"
    );
    broker.publish(t.stream("other"), Message::text("x")).await?;
    let mut quickest = Duration::MAX;
    // One read of several may meet a hiccup of the machine; all of them do not.
    for _ in 0..3 {
        let start = Instant::now();
        let batch = broker.read(&stream, &group, 10).await?;
        quickest = quickest.min(start.elapsed());
        ensure!(batch.is_empty(), "{} messages came from nowhere", batch.len());
    }
    ensure!(
        quickest < t.at_most(Duration::from_millis(200)),
        "the quickest read took {quickest:?}"
    );
    Ok(())
}

check!(
    count,
    "read.count",
    Quick,
    GROUPS,
    "A read answers at most what was asked for, the oldest first, and no message twice."
);

async fn count(t: &Trial) -> CheckResult {
    const THERE: usize = 5;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    const ASKED: [usize; 5] = [1, 2, 3, 5, 10];
    for asked in ASKED {
        t.group_before(&broker, &stream, &t.group(&format!("g{asked}")))
            .await?;
    }
    for number in 0..THERE {
        broker
            .publish(&stream, Message::text(number.to_string()).key("k"))
            .await?;
    }
    for asked in ASKED {
        let group = t.group(&format!("g{asked}"));
        let mut seen = Vec::new();
        let mut held = Vec::new();
        while seen.len() < THERE {
            let batch = t_batch(t, &broker, &stream, &group, asked).await?;
            ensure!(batch.len() <= asked, "asked for {asked}, got {}", batch.len());
            for delivery in batch {
                seen.push(String::from_utf8_lossy(delivery.payload()).into_owned());
                held.push(delivery);
            }
        }
        if !t.has(Capabilities::MESSAGE_ORDERING) {
            seen.sort();
        }
        ensure_eq!(seen, ["0", "1", "2", "3", "4"], "what came in reads of {asked}");
        t.nothing_within(Duration::from_millis(20), &broker, &stream, &group)
            .await?;
    }
    Ok(())
}

/// A batch that is not empty.
async fn t_batch(
    t: &Trial,
    broker: &Broker,
    stream: &str,
    group: &str,
    max: usize,
) -> CheckResult<broker_core::broker::Batch> {
    let until = Instant::now() + t.in_time();
    loop {
        let batch = broker.read(stream, group, max).await?;
        if !batch.is_empty() {
            return Ok(batch);
        }
        if Instant::now() > until {
            return Err(Stop::failed(format!("a read of at most {max} stays empty")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

check!(
    all_at_once,
    "read.all_at_once",
    Quick,
    GROUPS,
    "What one publisher published to one key is there for one read; as many as are asked for come."
);

async fn all_at_once(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    t.group_before(&broker, &stream, &group).await?;
    let ledger = t.ledger();
    ledger
        .publish_many(&broker, &stream, 0, &["k".to_owned()], 20)
        .await?;
    let deliveries = t.read(&broker, &stream, &group, 20).await?;
    for delivery in &deliveries {
        ledger.delivered(&group, delivery);
        ensure_eq!(delivery.stream().as_str(), stream, "the stream that is told");
        ensure_eq!(delivery.group().as_str(), group, "the group that is told");
        ensure_eq!(delivery.attempt(), 1, "the attempt");
    }
    t.nothing(&broker, &stream, &group).await?;
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    zero,
    "read.zero",
    Quick,
    GROUPS,
    "Reading at most zero messages answers none, at once, and takes none."
);

async fn zero(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    let ledger = t.ledger();
    drop(broker.subscribe(&stream, &group).start().await?);
    ledger.publish(&broker, &stream).await?;
    ensure!(
        broker.read(&stream, &group, 0).await?.is_empty(),
        "asked for none, got some"
    );
    if t.has(Capabilities::BLOCKING_READ) {
        let waiting = broker.read_wait(&stream, &group, 0, Duration::from_secs(30));
        let batch = within(Duration::from_secs(1), "a read of zero that may wait", waiting).await??;
        ensure!(batch.is_empty(), "asked for none, got some");
    }
    if let Ok(groups) = broker.groups(&stream).await {
        let pending: u64 = groups.iter().map(|info| info.pending).sum();
        ensure_eq!(pending, 0, "pending after a read of zero");
    }
    for delivery in t.read(&broker, &stream, &group, 1).await? {
        ensure_eq!(delivery.attempt(), 1, "the attempt after a read of zero");
        ledger.delivered(&group, &delivery);
    }
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    receive_many,
    "read.receive_many",
    Quick,
    GROUPS,
    "receive_many collects as many as were asked for from several reads, or what came until its time was up."
);

async fn receive_many(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    let publishing = {
        let (broker, stream) = (broker.clone(), stream.clone());
        tokio::spawn(async move {
            for number in 0..10 {
                broker
                    .publish(&stream, Message::text(number.to_string()).key("k"))
                    .await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, broker_core::Error>(())
        })
    };
    let some = broker.receive_many(&stream, &group, 10, t.in_time()).await?;
    ensure_eq!(some.len(), 10, "collected from many reads");
    publishing.await.map_err(Stop::failed)??;
    broker.publish(&stream, Message::text("last")).await?;
    let start = Instant::now();
    let few = broker
        .receive_many(&stream, &group, 5, Duration::from_millis(300))
        .await?;
    let took = start.elapsed();
    ensure_eq!(few.len(), 1, "collected until the time was up");
    ensure!(took >= Duration::from_millis(280), "it gave up after {took:?}");
    ensure!(
        took < t.at_most(Duration::from_millis(1300)),
        "it gave up only after {took:?}"
    );
    Ok(())
}

check!(
    error_is_error,
    "read.error_is_error",
    Full,
    GROUPS.part(Part::Server),
    "While the server is down a read is an error, never an empty batch."
);

async fn error_is_error(t: &Trial) -> CheckResult {
    let Some(server) = t.harness().server() else {
        return Err(Stop::NotExercised(Part::Server.to_string()));
    };
    let impatient = Options::new()
        .set("operation_timeout", "2s")
        .set("connect_timeout", "1s");
    let (broker, stream, group) = (t.broker_with(impatient).await?, t.stream("a"), t.group("g"));
    drop(broker.read(&stream, &group, 1).await?);
    server.stop().await?;
    let read = broker.read(&stream, &group, 1).await;
    let published = broker.publish(&stream, Message::text("x")).await;
    server.start().await?;
    ensure!(read.is_err(), "a read without a server is Ok");
    ensure!(published.is_err(), "a publish without a server is Ok");
    t.eventually("reading works again", || async {
        Ok(broker.read(&stream, &group, 1).await.is_ok())
    })
    .await
}
