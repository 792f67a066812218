//! From opening to letting go.

use std::time::{Duration, Instant};

use broker_core::{Broker, BrokerEvent, Capabilities, ErrorKind, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Part, Stop, Trial, ensure, ensure_eq, refused};

check!(
    construct_no_io,
    "lifecycle.construct_no_io",
    Quick,
    Gate::ANY,
    "Opening does no I/O: it needs no runtime, starts no task, and takes less than a second."
);

async fn construct_no_io(t: &Trial) -> CheckResult {
    let before = tasks();
    let start = Instant::now();
    drop(t.harness().open(&Options::new())?);
    ensure_eq!(tasks(), before, "tasks that opening started");
    // On a thread without a runtime nothing asynchronous can happen.
    let opened =
        std::thread::scope(|scope| scope.spawn(|| t.harness().open(&Options::new()).map(drop)).join());
    opened.map_err(|_| Stop::failed("opening panics outside of a runtime"))??;
    let took = start.elapsed();
    ensure!(took < t.at_most(Duration::from_secs(1)), "opening took {took:?}");
    Ok(())
}

check!(
    connect_unreachable,
    "lifecycle.connect_unreachable",
    Quick,
    Gate::ANY.part(Part::Unreachable),
    "Connecting to where nothing listens fails as a connection error, in time, naming the host and no password."
);

async fn connect_unreachable(t: &Trial) -> CheckResult {
    let Some(mut settings) = t.harness().unreachable() else {
        return Err(Stop::NotExercised(Part::Unreachable.to_string()));
    };
    settings.set("connect_timeout", "1s", None);
    settings.set("operation_timeout", "2s", None);
    settings.set("operation_retries", 0, None);
    let broker = Broker::from_settings("default", settings, &t.harness().registry()?)?;
    let start = Instant::now();
    let answer = broker.ensure_connection().await;
    let took = start.elapsed();
    ensure!(
        took < t.at_most(Duration::from_secs(3)),
        "the answer took {took:?}"
    );
    let error = match answer {
        Err(error) if matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout) => error,
        Err(error) => return Err(Stop::failed(format!("not a connection error: {error}"))),
        Ok(()) => return Err(Stop::failed("connected to where nothing listens")),
    };
    let told = format!("{error} {error:?}");
    ensure!(
        told.contains("127.0.0.1") || told.contains("localhost"),
        "the host is not named: {error}"
    );
    ensure!(!told.contains("hunter2secret"), "the password is told");
    let publish = broker.publish(t.stream("a"), Message::text("x")).await;
    ensure!(publish.is_err(), "a publish to nowhere is Ok");
    let health = broker.health_stats().await;
    ensure!(!health.connected, "health says connected: {health:?}");
    broker.close().await?;
    Ok(())
}

check!(
    connect_idempotent,
    "lifecycle.connect_idempotent",
    Quick,
    Gate::ANY,
    "Connecting again, and from many tasks at once, is fine and connects once."
);

async fn connect_idempotent(t: &Trial) -> CheckResult {
    let broker = t.open(Options::new())?;
    let mut events = broker.events();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { broker.ensure_connection().await })
        })
        .collect();
    for task in tasks {
        task.await.map_err(Stop::failed)??;
    }
    broker.ensure_connection().await?;
    broker.ping().await?;
    let mut connected = 0;
    while let Ok(event) = events.try_recv() {
        connected += usize::from(event == BrokerEvent::Connected);
    }
    ensure!(connected <= 1, "it connected {connected} times");
    Ok(())
}

check!(
    two_instances,
    "lifecycle.two_instances",
    Quick,
    Gate::needs(Capabilities::PUBLISH),
    "Two instances in one process share neither counts nor their end."
);

async fn two_instances(t: &Trial) -> CheckResult {
    let (one, other, stream) = (t.broker().await?, t.broker().await?, t.stream("a"));
    one.publish(&stream, Message::text("x")).await?;
    ensure_eq!(
        one.health_stats().await.counts.published,
        1,
        "published by the first"
    );
    ensure_eq!(
        other.health_stats().await.counts.published,
        0,
        "published by the second"
    );
    one.close().await?;
    refused(
        one.publish(&stream, Message::text("x")).await,
        ErrorKind::Closed,
        "publish by the closed one",
    )?;
    other.publish(&stream, Message::text("y")).await?;
    other.ping().await?;
    let later = t.broker().await?;
    later.publish(&stream, Message::text("z")).await?;
    Ok(())
}

check!(
    drop_without_close,
    "lifecycle.drop_without_close",
    Full,
    Gate::needs(Capabilities::PUBLISH),
    "Dropping a broker leaves no task behind and does not block the thread."
);

async fn drop_without_close(t: &Trial) -> CheckResult {
    let stream = t.stream("a");
    let before = tasks();
    let broker = t.harness().open(&Options::new())?;
    broker.ensure_connection().await?;
    broker.publish(&stream, Message::text("x")).await?;
    let publisher = broker
        .publisher(&stream)
        .linger(Duration::from_millis(1))
        .build()
        .await?;
    publisher.send(Message::text("y")).await?;
    let subscription = if t.has(Capabilities::CONSUMER_GROUPS) {
        let mut subscription = broker.subscribe(&stream, t.group("g")).start().await?;
        let _ = tokio::time::timeout(t.quiet(), subscription.next()).await;
        Some(subscription)
    } else {
        None
    };
    let start = Instant::now();
    drop((broker, publisher, subscription));
    let took = start.elapsed();
    ensure!(
        took < t.at_most(Duration::from_millis(100)),
        "dropping took {took:?}"
    );
    t.eventually("the tasks of the dropped broker end", || async {
        Ok(tasks() <= before)
    })
    .await
}

/// The tasks of this check's own runtime, which no other check shares.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
