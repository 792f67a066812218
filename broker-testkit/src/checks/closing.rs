//! What closing does, and what is left to do afterwards.

use std::time::{Duration, Instant};

use broker_core::{Broker, Capabilities, ErrorKind, Message, StartPosition};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq, refused, within};

/// A call after closing answers; it does not wait for anything.
const AT_ONCE: Duration = Duration::from_secs(1);

check!(
    close_idempotent,
    "lifecycle.close_idempotent",
    Quick,
    Gate::ANY,
    "Closing twice, and from ten tasks at once, is fine."
);

async fn close_idempotent(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { broker.close().await })
        })
        .collect();
    for task in tasks {
        within(t.in_time(), "close", task)
            .await?
            .map_err(Stop::failed)??;
    }
    within(AT_ONCE, "close again", broker.close()).await??;
    let never_connected = t.open(Options::new())?;
    within(
        AT_ONCE,
        "close of a broker that never connected",
        never_connected.close(),
    )
    .await??;
    refused(
        never_connected.ping().await,
        ErrorKind::Closed,
        "ping after close",
    )?;
    Ok(())
}

check!(
    publish_after_close,
    "lifecycle.publish_after_close",
    Quick,
    Gate::needs(Capabilities::PUBLISH),
    "Publishing after close answers `closed`, by whatever handle, and stores nothing."
);

async fn publish_after_close(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let publisher = broker.publisher(&stream).build().await?;
    let publisher_that_sent = broker.publisher(&stream).build().await?;
    publisher_that_sent.send(Message::text("before")).await?;
    broker.close().await?;
    let message = || Message::text("after");
    let answer = within(AT_ONCE, "publish", broker.publish(&stream, message())).await?;
    refused(answer, ErrorKind::Closed, "publish")?;
    let answer = within(
        AT_ONCE,
        "publish_batch",
        broker.publish_batch(&stream, vec![message()]),
    )
    .await?;
    refused(answer, ErrorKind::Closed, "publish_batch")?;
    for publisher in [publisher, publisher_that_sent] {
        let answer = within(AT_ONCE, "send", publisher.send(message())).await?;
        refused(answer, ErrorKind::Closed, "send")?;
        let answer = within(AT_ONCE, "send_batch", publisher.send_batch(vec![message()])).await?;
        refused(answer, ErrorKind::Closed, "send_batch")?;
    }
    refused(
        broker.publisher(&stream).build().await,
        ErrorKind::Closed,
        "a new publisher",
    )?;
    refused(broker.ping().await, ErrorKind::Closed, "ping")?;
    refused(
        broker.ensure_connection().await,
        ErrorKind::Closed,
        "ensure_connection",
    )?;
    Ok(())
}

check!(
    read_after_close,
    "lifecycle.read_after_close",
    Quick,
    Gate::needs(Capabilities::CONSUMER_GROUPS.union(Capabilities::PUBLISH))
        .proves(Capabilities::CONSUMER_GROUPS),
    "Reading, settling and asking after close answer `closed`; a subscription ends."
);

async fn read_after_close(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    t.group_before(&broker, &stream, &group).await?;
    broker.publish(&stream, Message::text("x")).await?;
    broker.publish(&stream, Message::text("y")).await?;
    let held = t.read(&broker, &stream, &group, 2).await?;
    let mut subscription = broker.subscribe(&stream, t.group("h")).start().await?;
    broker.close().await?;
    let answer = within(AT_ONCE, "read", broker.read(&stream, &group, 1)).await?;
    refused(answer, ErrorKind::Closed, "read")?;
    let answer = within(AT_ONCE, "subscribe", broker.subscribe(&stream, &group).start()).await?;
    refused(answer, ErrorKind::Closed, "subscribe")?;
    let next = within(AT_ONCE, "next", subscription.next()).await?;
    ensure!(next.is_none(), "a subscription goes on after close: {next:?}");
    if t.has(Capabilities::BLOCKING_READ) {
        let waiting = broker.read_wait(&stream, &group, 1, Duration::from_secs(30));
        refused(
            within(AT_ONCE, "read_wait", waiting).await?,
            ErrorKind::Closed,
            "read_wait",
        )?;
    }
    for delivery in held {
        if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            let answer = within(AT_ONCE, "ack", delivery.ack()).await?;
            refused(answer, ErrorKind::Closed, "ack")?;
        }
        if t.has(Capabilities::MESSAGE_REJECTION) {
            let answer = within(AT_ONCE, "nack", delivery.nack()).await?;
            refused(answer, ErrorKind::Closed, "nack")?;
        }
    }
    let made = broker
        .create_group(&stream, t.group("i"), StartPosition::Earliest)
        .await;
    ensure!(made.is_err(), "a group was made after close");
    Ok(())
}

check!(
    close_wakes_blocked_reader,
    "lifecycle.close_wakes_blocked_reader",
    Quick,
    Gate::needs(Capabilities::BLOCKING_READ.union(Capabilities::CONSUMER_GROUPS)),
    "A reader that waits for a minute returns within two seconds of close, by read and by subscription."
);

async fn close_wakes_blocked_reader(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    let reading = {
        let (broker, stream) = (broker.clone(), stream.clone());
        tokio::spawn(async move { broker.read_wait(&stream, group, 1, Duration::from_secs(60)).await })
    };
    let mut subscription = broker.subscribe(&stream, t.group("h")).start().await?;
    let subscribed = tokio::spawn(async move { subscription.next().await.is_none() });
    // Both shall be waiting by now; the law holds as well where one is not.
    tokio::time::sleep(Duration::from_millis(100)).await;
    ensure!(!reading.is_finished(), "the read did not wait");
    let start = Instant::now();
    broker.close().await?;
    let limit = t.at_most(Duration::from_secs(2));
    let read = within(limit, "the blocked read", reading)
        .await?
        .map_err(Stop::failed)?;
    match read {
        Err(error) => ensure_eq!(error.kind(), ErrorKind::Closed, "the blocked read's error"),
        Ok(batch) => ensure!(batch.is_empty(), "the blocked read got a message"),
    }
    let ended = within(limit, "the blocked subscription", subscribed)
        .await?
        .map_err(Stop::failed)?;
    ensure!(ended, "the subscription goes on after close");
    ensure!(start.elapsed() < limit, "waking took {:?}", start.elapsed());
    Ok(())
}

check!(
    close_flushes,
    "lifecycle.close_flushes",
    Full,
    Gate::needs(Capabilities::PUBLISH.union(Capabilities::CONSUMER_GROUPS)).proves(Capabilities::PUBLISH),
    "What was answered Ok before or while the broker closed is readable by another; what was not sent is not."
);

async fn close_flushes(t: &Trial) -> CheckResult {
    const MESSAGES: usize = 1000;
    let (broker, keeper, stream, group) = (t.broker().await?, t.broker().await?, t.stream("a"), t.group("g"));
    drop(keeper.subscribe(&stream, &group).start().await?);
    let publisher = broker
        .publisher(&stream)
        .linger(Duration::from_millis(20))
        .max_batch(50)
        .build()
        .await?;
    let (progress, mut done) = tokio::sync::watch::channel(0_usize);
    let sends: Vec<_> = (0..MESSAGES)
        .map(|number| {
            let (publisher, progress) = (publisher.clone(), progress.clone());
            tokio::spawn(async move {
                let answer = publisher.send(Message::text(number.to_string())).await;
                progress.send_modify(|done| *done += 1);
                (number, answer)
            })
        })
        .collect();
    // In the midst of it: some are answered, and others are under way.
    let midst = done.wait_for(|done| *done >= MESSAGES / 10);
    within(t.in_time(), "a tenth of the sends", midst)
        .await?
        .map_err(Stop::failed)?;
    broker.close().await?;
    let (mut stored, mut unsent) = (Vec::new(), Vec::new());
    for send in sends {
        match within(t.in_time(), "a send", send).await?.map_err(Stop::failed)? {
            (number, Ok(_)) => stored.push(number),
            (number, Err(error)) if error.kind() == ErrorKind::Closed => unsent.push(number),
            (number, Err(error)) => return Err(Stop::failed(format!("send {number}: {error}"))),
        }
    }
    let found = numbers(t, &keeper, &stream, &group, stored.len()).await?;
    ensure_eq!(found, stored, "the messages that were answered Ok");
    ensure!(stored.len() >= MESSAGES / 10, "only {} were stored", stored.len());
    t.note(format_args!("{} stored, {} not sent", stored.len(), unsent.len()));
    Ok(())
}

async fn numbers(
    t: &Trial,
    broker: &Broker,
    stream: &str,
    group: &str,
    count: usize,
) -> CheckResult<Vec<usize>> {
    let mut found = Vec::new();
    for delivery in t.read(broker, stream, group, count).await? {
        let text = String::from_utf8_lossy(delivery.payload()).into_owned();
        found.push(
            text.parse()
                .map_err(|_| Stop::failed(format!("a foreign message: {text}")))?,
        );
    }
    t.nothing(broker, stream, group).await?;
    found.sort_unstable();
    Ok(found)
}
