//! How long a message takes from publisher to consumer at a steady rate.
//!
//! Arrivals are scheduled beforehand and each is measured from its scheduled time: a publisher that falls behind makes
//! the messages late that it holds up, and hides nothing.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use broker::prelude::*;
use serde::Serialize;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;

use crate::rounds;

/// Messages per second.
const RATE: u32 = 1000;

/// Messages of one case in one round: three seconds.
const MESSAGES: u16 = 3000;

/// Messages at the beginning that do not count.
pub const WARM_UP: usize = 200;

/// So long before an arrival the clock is watched instead of slept on.
const WATCH: Duration = Duration::from_micros(100);

/// What one case took.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The case.
    pub work: &'static str,
    /// Microseconds at the median of a round, the median of the rounds.
    pub p50: f64,
    /// Microseconds that 99 of 100 messages of a round keep below, the median of the rounds.
    pub p99: f64,
    /// The ratios to the raw client within each round, their medians, and what is asked for.
    pub beside: Option<(f64, f64, f64)>,
}

/// Measures the raw client and the framework in turn, under their names; each case answers how long each message took.
pub fn measure(
    rounds: usize,
    (raw_name, through_raw): (&'static str, impl Fn() -> anyhow::Result<Vec<Duration>>),
    (own_name, through_framework): (&'static str, impl Fn() -> anyhow::Result<Vec<Duration>>),
) -> anyhow::Result<Vec<Latency>> {
    let (mut raw, mut own) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let both = [through_raw()?, through_framework()?];
        let [bare, broker] = both.map(|mut latencies| percentiles(latencies.split_off(WARM_UP)));
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
            work: raw_name,
            p50: of(&raw, |both| both.0),
            p99: of(&raw, |both| both.1),
            beside: None,
        },
        Latency {
            work: own_name,
            p50: of(&own, |both| both.0),
            p99: of(&own, |both| both.1),
            beside: Some((ratio(|both| both.0), ratio(|both| both.1), 1.2)),
        },
    ])
}

/// Microseconds at the median, and those that 99 of 100 keep below.
pub fn percentiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |share: usize| {
        let place = latencies.len().saturating_sub(1) * share / 100;
        latencies
            .get(place)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    };
    (at(50), at(99))
}

/// Publishes each message when it is due, by a task of its own, with the moment in its payload; begins at `start`.
pub fn publishing<F>(start: Instant, publish: impl Fn(Vec<u8>) -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut due = arrivals(start);
    tokio::spawn(async move {
        while let Some(due) = due.recv().await {
            tokio::spawn(publish(stamped(start, due)));
        }
    })
}

/// How long each message takes through a publisher and a subscription of the framework.
pub async fn through(
    publisher: Publisher,
    deliveries: &mut Subscription,
    start: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let publishing = publishing(start, move |payload| {
        let publisher = publisher.clone();
        async move { publisher.send(Message::new(payload)).await }
    });
    let mut latencies = Vec::with_capacity(messages());
    while latencies.len() < messages() {
        let batch = deliveries.next_batch().await.context("the broker closed")??;
        for delivery in batch.iter() {
            latencies.push(taken(start, delivery.payload())?);
        }
        batch.ack_later();
    }
    deliveries.settled().await?;
    publishing.await?;
    Ok(latencies)
}

/// When the first message of a case is due that begins now.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

/// The moments at which messages are due, told when each has come, by a thread of its own: a runtime's timer is too
/// coarse.
fn arrivals(start: Instant) -> UnboundedReceiver<Instant> {
    let (tell, due) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for number in 0..u32::from(MESSAGES) {
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
pub fn taken(start: Instant, payload: &[u8]) -> anyhow::Result<Duration> {
    let nanos = payload.first_chunk().context("a payload is too short")?;
    let due = start + Duration::from_nanos(u64::from_be_bytes(*nanos));
    Ok(due.elapsed())
}

/// How many messages one case publishes in one round.
pub fn messages() -> usize {
    usize::from(MESSAGES)
}
