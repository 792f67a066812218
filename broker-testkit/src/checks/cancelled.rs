//! Reads and acks that are dropped before they end, while messages flow.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker_core::{Capabilities, Settled};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::scene::{KEY, Scene};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure};

const ACK: Gate =
    Gate::needs(Capabilities::MESSAGE_ACKNOWLEDGEMENT).proves(Capabilities::DELIVERY_GUARANTEES);

check!(
    cancel_read,
    "fault.cancel_read",
    Quick,
    ACK,
    "Reads that are dropped at random points lose nothing: all is delivered and acked in the end, at the latest after the lease."
);

async fn cancel_read(t: &Trial) -> CheckResult {
    let (drops, count): (usize, usize) = t.scale((400, 1_000), (2_000, 5_000));
    let scene = Scene::new(t, super::scene::short_lease(t).max_retries(1_000), 0).await?;
    let publishing = publish_slowly(&scene, count);
    let mut random = fastrand::Rng::with_seed(t.seed());
    let wait = if t.has(Capabilities::BLOCKING_READ) {
        Duration::from_secs(1)
    } else {
        Duration::ZERO
    };
    let until = Instant::now() + t.at_most(t.timing().eventual) * t.scale(1, 3);
    let (mut acked, mut dropped) = (0, 0);
    while acked < count {
        ensure!(
            Instant::now() < until,
            "{acked} of {count} messages were acked in time after {dropped} dropped reads: {}",
            scene.ledger.verdict()
        );
        let polls = if dropped < drops {
            random.usize(..6)
        } else {
            usize::MAX
        };
        let reading = scene.broker.read_wait(&scene.stream, &scene.group, 20, wait);
        let Some(batch) = polled(polls, reading).await else {
            dropped += 1;
            continue;
        };
        for delivery in batch? {
            // One whose ack came too late, on a slow machine, comes again: that is no duplicate.
            match scene.ledger.ack(&delivery).await? {
                Settled::Acked => acked += 1,
                _ => scene.ledger.excuse(&scene.group, &delivery),
            }
        }
    }
    publishing.await.map_err(Stop::failed)??;
    let verdict = scene.ledger.verify()?;
    t.note(format!("{verdict}; {dropped} reads dropped"));
    Ok(())
}

/// Publishes in the background, a few at a time, so that reads find nothing, wait, and race with what comes.
fn publish_slowly(scene: &Scene<'_>, count: usize) -> JoinHandle<CheckResult> {
    let (broker, stream, ledger) = (
        scene.broker.clone(),
        scene.stream.clone(),
        Arc::clone(&scene.ledger),
    );
    tokio::spawn(async move {
        for _ in 0..count / 5 {
            ledger
                .publish_many(&broker, &stream, 0, &[KEY.to_owned()], 5)
                .await?;
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Ok(())
    })
}

check!(
    cancel_settle,
    "fault.cancel_settle",
    Quick,
    ACK,
    "Acks that are dropped at random points settle their own message or nothing."
);

async fn cancel_settle(t: &Trial) -> CheckResult {
    let count: usize = t.scale(300, 2_000);
    let scene = Scene::new(t, Options::new(), count).await?;
    let mut random = fastrand::Rng::with_seed(t.seed());
    let deliveries = scene.read(count).await?;
    let mut dropped = 0;
    for (index, delivery) in deliveries.iter().enumerate() {
        // Every other message is never acked, and so must stay.
        if index % 2 == 0 && polled(random.usize(..3), delivery.ack()).await.is_none() {
            dropped += 1;
        }
    }
    for (index, delivery) in deliveries.iter().enumerate() {
        let answer = delivery.ack().await?;
        let untouched = index % 2 == 1;
        let fine = answer == Settled::Acked || (!untouched && answer == Settled::AlreadySettled);
        ensure!(fine, "acking message {index} at last answered {answer:?}");
    }
    t.note(format!("{dropped} of {} acks dropped", count.div_ceil(2)));
    scene.nothing().await
}

/// Polls `future` up to so many times, with turns for other tasks between, and drops it where it has not ended.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    if polls == usize::MAX {
        return Some(future.await);
    }
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
