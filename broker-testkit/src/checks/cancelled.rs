//! Reads and acks that are dropped before they end, while messages flow.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use broker_core::broker::Batch;
use broker_core::{Capabilities, Settled};
use tokio::time::Instant;

use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, ensure};

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
    let drops: usize = t.scale(400, 2_000);
    let scene = Scene::new(t, super::scene::short_lease(t).max_retries(1_000), 0).await?;
    let mut random = fastrand::Rng::with_seed(t.seed());
    let wait = if t.has(Capabilities::BLOCKING_READ) {
        Duration::from_secs(1)
    } else {
        Duration::ZERO
    };
    let (mut published, mut acked, mut dropped) = (0, 0, 0);
    // A slow machine drops fewer.
    let time = t.in_time();
    let began = Instant::now();
    while dropped < drops && (dropped < drops / 8 || began.elapsed() < time) {
        let answer = {
            let reading = scene.broker.read_wait(&scene.stream, &scene.group, 20, wait);
            let mut reading = std::pin::pin!(reading);
            // Messages come while the read waits, which is dropped at some point on their way.
            let before = polled(random.usize(..3), &mut random, reading.as_mut()).await;
            published += scene.publish(random.usize(1..4)).await?.len();
            match before {
                None => polled(random.usize(..4), &mut random, reading.as_mut()).await,
                answer => answer,
            }
        };
        match answer {
            Some(batch) => acked += settle(&scene, batch?).await?,
            None => dropped += 1,
        }
    }
    let until = Instant::now() + t.in_time() + t.timing().lease * 2;
    while acked < published {
        ensure!(
            Instant::now() < until,
            "{acked} of {published} messages were acked in time after {dropped} dropped reads: {}",
            scene.ledger.verdict()
        );
        let batch = scene.broker.read(&scene.stream, &scene.group, 100).await?;
        if batch.is_empty() {
            tokio::time::sleep(crate::trial::POLL).await;
        }
        acked += settle(&scene, batch).await?;
    }
    let verdict = scene.ledger.verify()?;
    t.note(format!("{verdict}; {dropped} reads dropped"));
    Ok(())
}

/// Acks a batch, and answers for how many messages that was in time.
async fn settle(scene: &Scene<'_>, batch: Batch) -> CheckResult<usize> {
    let mut acked = 0;
    for delivery in batch {
        // One whose ack came too late, on a slow machine, comes again: that is no duplicate.
        match scene.ledger.ack(&delivery).await? {
            Settled::Acked => acked += 1,
            _ => scene.ledger.excuse(&scene.group, &delivery),
        }
    }
    Ok(acked)
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
        if index % 2 == 0
            && cut(random.usize(..3), &mut random, delivery.ack())
                .await
                .is_none()
        {
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

/// Runs `future` for a while and drops it, unless it ends before.
async fn cut<F: Future>(polls: usize, random: &mut fastrand::Rng, future: F) -> Option<F::Output> {
    polled(polls, random, std::pin::pin!(future)).await
}

/// Polls `future` up to so many times, with turns for other tasks between, which last a moment now and then.
async fn polled<F: Future>(
    polls: usize,
    random: &mut fastrand::Rng,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        if random.u8(..8) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    None
}
