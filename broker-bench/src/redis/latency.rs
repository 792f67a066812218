//! How long a message takes from publisher to consumer at a steady rate.
//!
//! Arrivals are scheduled beforehand and each is measured from its scheduled time: a publisher that falls behind makes
//! the messages late that it holds up, and hides nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use broker::prelude::*;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::raw::{self, GROUP, STREAM};
use crate::latency::Latency;
use crate::rounds;

/// Messages per second.
const RATE: u32 = 1000;

/// Messages of one case in one round.
const MESSAGES: u32 = 3 * RATE;

/// Messages at the beginning that do not count.
const WARM_UP: usize = 200;

/// So long before an arrival the clock is watched instead of slept on.
const WATCH: Duration = Duration::from_micros(100);

/// Measures raw client and framework in turn.
pub(crate) fn measure(url: &str, rounds: usize) -> anyhow::Result<Vec<Latency>> {
    let (mut raw, mut own) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let both = [through_raw(url)?, through_framework(url)?];
        let [bare, broker] = both.map(percentiles);
        if round > 0 {
            raw.push(bare);
            own.push(broker);
        }
    }
    let of = |values: &[(f64, f64)], part: fn(&(f64, f64)) -> f64| {
        rounds::median(values.iter().map(part).collect())
    };
    let ratio = |part: fn(&(f64, f64)) -> f64| {
        rounds::median(
            own.iter()
                .zip(&raw)
                .map(|(own, raw)| part(own) / part(raw))
                .collect(),
        )
    };
    Ok(vec![
        Latency {
            work: "redis_raw_latency",
            p50: of(&raw, |both| both.0),
            p99: of(&raw, |both| both.1),
            beside: None,
        },
        Latency {
            work: "redis_latency",
            p50: of(&own, |both| both.0),
            p99: of(&own, |both| both.1),
            beside: Some((ratio(|both| both.0), ratio(|both| both.1), 1.2)),
        },
    ])
}

fn percentiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |share: usize| {
        let place = latencies.len().saturating_sub(1) * share / 100;
        latencies
            .get(place)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    };
    (at(50), at(99))
}

/// The moments at which messages are due, told when each has come, by a thread of its own: a runtime's timer is too
/// coarse.
fn arrivals(start: Instant) -> UnboundedReceiver<Instant> {
    let (tell, due) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..MESSAGES {
            let at = start + Duration::from_secs(1) / RATE * number;
            std::thread::sleep(at.saturating_duration_since(Instant::now()).saturating_sub(WATCH));
            while Instant::now() < at {
                std::hint::spin_loop();
            }
            if tell.send(at).is_err() {
                return;
            }
        }
    });
    due
}

/// A payload of a hundred bytes that begins with the moment the message was due.
fn stamped(start: Instant, due: Instant) -> Vec<u8> {
    let mut payload = vec![b'x'; 100];
    let nanos = u64::try_from((due - start).as_nanos()).unwrap_or(u64::MAX);
    for (to, from) in payload.iter_mut().zip(nanos.to_be_bytes()) {
        *to = from;
    }
    payload
}

/// How long the message with this payload took.
fn taken(start: Instant, payload: &[u8]) -> anyhow::Result<Duration> {
    let nanos = payload.first_chunk().context("a payload is too short")?;
    let due = start + Duration::from_nanos(u64::from_be_bytes(*nanos));
    Ok(due.elapsed())
}

fn through_raw(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let mut publishing = raw::connect(url).await?;
        let mut reading = raw::connect(url).await?;
        raw::clear(&mut publishing).await?;
        raw::make_group(&mut publishing).await?;
        let start = Instant::now() + Duration::from_millis(50);
        let mut due = arrivals(start);
        let publisher = publishing.clone();
        let publishing_task = tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let mut publisher = publisher.clone();
                tokio::spawn(async move { raw::publish(&mut publisher, &stamped(start, due)).await });
            }
        });
        let mut latencies = Vec::with_capacity(MESSAGES as usize);
        let mut unsettled = Vec::new();
        while latencies.len() < MESSAGES as usize {
            for (id, payload) in raw::read_and_ack(&mut reading, 100, &mut unsettled).await? {
                latencies.push(taken(start, &payload)?);
                unsettled.push(id);
            }
        }
        publishing_task.await?;
        raw::clear(&mut publishing).await?;
        Ok(latencies.split_off(WARM_UP))
    })
}

fn through_framework(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let mut server = raw::connect(url).await?;
        raw::clear(&mut server).await?;
        let broker = Broker::connect(url).await?;
        let publisher = broker.publisher(STREAM).build().await?;
        let mut deliveries = broker.subscribe(STREAM, GROUP).prefetch(100).start().await?;
        let start = Instant::now() + Duration::from_millis(50);
        let mut due = arrivals(start);
        let publishing_task = tokio::spawn(async move {
            while let Some(due) = due.recv().await {
                let publisher = publisher.clone();
                tokio::spawn(async move { publisher.send(Message::new(stamped(start, due))).await });
            }
        });
        let mut latencies = Vec::with_capacity(MESSAGES as usize);
        while latencies.len() < MESSAGES as usize {
            let batch = deliveries.next_batch().await.context("the broker closed")??;
            for delivery in batch.iter() {
                latencies.push(taken(start, delivery.payload())?);
            }
            batch.ack_later();
        }
        deliveries.settled().await?;
        publishing_task.await?;
        drop(deliveries);
        broker.close().await?;
        raw::clear(&mut server).await?;
        Ok(latencies.split_off(WARM_UP))
    })
}
