//! How long a message takes through Redis at a steady rate.

use std::time::Duration;

use broker::prelude::*;

use super::raw::{self, GROUP, STREAM};
use crate::latency::{self, Latency, messages, soon, taken};
use crate::rounds;

/// Measures raw client and framework in turn.
pub fn measure(url: &str, rounds: usize) -> anyhow::Result<Vec<Latency>> {
    latency::measure(
        rounds,
        ("redis_raw_latency", || through_raw(url)),
        ("redis_latency", || through_framework(url)),
    )
}

/// How long each message takes through the raw client.
pub fn through_raw(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let mut publishing = raw::connect(url).await?;
        let mut reading = raw::connect(url).await?;
        raw::clear(&mut publishing).await?;
        raw::make_group(&mut publishing).await?;
        let (start, publisher) = (soon(), publishing.clone());
        let publishing_task = latency::publishing(start, move |payload| {
            let mut publisher = publisher.clone();
            async move { raw::publish(&mut publisher, &payload).await }
        });
        let mut latencies = Vec::with_capacity(messages());
        let mut unsettled = Vec::new();
        while latencies.len() < messages() {
            for (id, payload) in raw::read_and_ack(&mut reading, 100, &mut unsettled).await? {
                latencies.push(taken(start, &payload)?);
                unsettled.push(id);
            }
        }
        publishing_task.await?;
        raw::clear(&mut publishing).await?;
        Ok(latencies)
    })
}

/// How long each message takes through the framework.
pub fn through_framework(url: &str) -> anyhow::Result<Vec<Duration>> {
    rounds::runtime()?.block_on(async {
        let mut server = raw::connect(url).await?;
        raw::clear(&mut server).await?;
        let broker = Broker::connect(url).await?;
        let publisher = broker.publisher(STREAM).build().await?;
        let mut deliveries = broker.subscribe(STREAM, GROUP).prefetch(100).start().await?;
        let latencies = latency::through(publisher, &mut deliveries, soon()).await?;
        drop(deliveries);
        broker.close().await?;
        raw::clear(&mut server).await?;
        Ok(latencies)
    })
}
