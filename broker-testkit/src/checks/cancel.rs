//! Calls whose futures are dropped half-way.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use broker_core::{Capabilities, Message};
use tokio::time::Instant;

use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, ensure};

check!(
    next_is_cancel_safe,
    "read.next_is_cancel_safe",
    Quick,
    Gate::needs(Capabilities::SIMPLE_QUEUING).proves(Capabilities::SUBSCRIBE),
    "Dropping a subscription's next, at whatever point, loses no message and doubles none."
);

async fn next_is_cancel_safe(t: &Trial) -> CheckResult {
    let messages = t.scale(300, 5000);
    let (broker, other, stream, group) = (t.broker().await?, t.broker().await?, t.stream("a"), t.group("g"));
    let mut random = fastrand::Rng::with_seed(t.seed());
    let ledger = std::sync::Arc::new(t.ledger());
    let mut subscription = broker.subscribe(&stream, &group).prefetch(16).start().await?;
    let publishing = {
        let (ledger, stream) = (std::sync::Arc::clone(&ledger), stream.clone());
        tokio::spawn(async move {
            for _ in 0..messages {
                ledger.publish(&other, &stream).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, Stop>(())
        })
    };
    let until = Instant::now() + t.in_time() * 2;
    let mut got = 0;
    while got < messages {
        if let Some(Some(delivery)) = polled(random.u32(0..4), subscription.next()).await {
            let delivery = delivery?;
            ledger.delivered(&group, &delivery);
            got += 1;
            if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                delivery.ack_later();
            }
        }
        ensure!(Instant::now() < until, "{got} of {messages} came in time");
    }
    publishing.await.map_err(Stop::failed)??;
    let mut reader = t.reader_of(subscription);
    reader.nothing().await?;
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    cancelled_publishes,
    "pubsub.cancelled_publish",
    Quick,
    Gate::needs(Capabilities::SIMPLE_QUEUING).proves(Capabilities::PUBLISH),
    "A publish that is dropped half-way is stored whole or not at all, and mixes up no other's answer."
);

async fn cancelled_publishes(t: &Trial) -> CheckResult {
    let rounds = t.scale(200, 2000);
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    let mut random = fastrand::Rng::with_seed(t.seed());
    let publisher = broker.publisher(&stream).build().await?;
    let mut expected = std::collections::BTreeMap::new();
    drop(broker.subscribe(&stream, &group).start().await?);
    for round in 0..rounds {
        let dropped = Message::text(format!("dropped {round}"));
        let _ = polled(random.u32(0..3), broker.publish(&stream, dropped.clone())).await;
        let _ = polled(random.u32(0..3), publisher.send(dropped)).await;
        let text = format!("kept {round}");
        expected.insert(text.clone(), broker.publish(&stream, Message::text(text)).await?);
    }
    publisher.flush().await?;
    let until = Instant::now() + t.in_time();
    while !expected.is_empty() {
        for delivery in broker.read(&stream, &group, 100).await? {
            let text = String::from_utf8_lossy(delivery.payload()).into_owned();
            match expected.remove(&text) {
                Some(id) => ensure!(
                    id == delivery.id(),
                    "`{text}` has the id {}, answered was {id}",
                    delivery.id()
                ),
                None => ensure!(
                    text.starts_with("dropped "),
                    "`{text}` came twice or from nowhere"
                ),
            }
            if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                delivery.ack_later();
            }
        }
        ensure!(
            Instant::now() < until,
            "{} messages that were answered Ok did not come",
            expected.len()
        );
    }
    Ok(())
}

/// Polls a future a few times and drops it, unless it ends before.
async fn polled<T>(times: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..times {
        let ready = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = ready {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_micros(20)).await;
    }
    None
}
