//! Numbers of subscribers and their brokers, by the facade `metrics`.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use broker_core::broker::{Broker, Brokers};
use broker_core::{Capabilities, GroupName, StreamName, StreamPattern};
use metrics::{Histogram, counter, gauge, histogram};

use crate::engine::Receipt;
use crate::incoming::Incoming;
use crate::observe::{Ended, Observer};
use crate::plan::Plan;

/// Numbers of subscribers and their brokers, by the facade `metrics`; whichever recorder the program has installed makes
/// of them what it likes.
///
/// | metric | labels | kind |
/// |---|---|---|
/// | `broker_handler_seconds` | `stream`, `group` | histogram of the calls of handlers |
/// | `broker_messages_total` | `stream`, `group`, `as` (`handled`, `skipped`, `retried`, `dead`, `given_back`, `abandoned`) | counter |
/// | `broker_published_total`, `broker_publish_failed_total`, `broker_delivered_total`, `broker_redelivered_total` | `broker` | counter |
/// | `broker_settled_total` | `broker`, `as` (`acked`, `nacked`, `dead`, `discarded`) | counter |
/// | `broker_in_flight`, `broker_healthy` | `broker` | gauge |
/// | `broker_lag`, `broker_pending`, `broker_oldest_pending_seconds` | `broker`, `stream`, `group` | gauge |
///
/// Handlers are timed as they end; all else is looked up by [`collect`](Self::collect), so that a message costs nothing
/// more.
#[derive(Default)]
pub struct Metering {
    handlers: RwLock<Handlers>,
    leaves_groups: bool,
}

#[derive(Default)]
struct Handlers {
    numbers: HashMap<(StreamName, GroupName), usize>,
    timed: Vec<Histogram>,
}

impl Metering {
    /// Leaves the numbers of whole groups (`broker_lag`, `broker_pending`, `broker_oldest_pending_seconds`) to another
    /// process: they are the same for all members of a group, and added up they would be too high.
    #[must_use]
    pub fn without_groups(mut self) -> Self {
        self.leaves_groups = true;
        self
    }

    /// Tells what subscribers did so far.
    pub fn count(&self, receipt: &Receipt) {
        for one in &receipt.subscribers {
            let tally = one.tally;
            for (how, count) in [
                ("handled", tally.handled),
                ("skipped", tally.skipped),
                ("retried", tally.retried),
                ("dead", tally.dead),
                ("given_back", tally.given_back),
                ("abandoned", tally.abandoned),
            ] {
                let (stream, group) = (one.stream.clone(), one.group.clone());
                counter!("broker_messages_total", "stream" => stream, "group" => group, "as" => how)
                    .absolute(count);
            }
        }
    }

    /// Looks up how subscribers and brokers are.
    pub async fn collect(&self, brokers: &Brokers, plan: &Plan, receipt: &Receipt) {
        self.count(receipt);
        for broker in brokers.iter() {
            count(broker).await;
        }
        let entries = if self.leaves_groups {
            &[]
        } else {
            plan.entries.as_slice()
        };
        for entry in entries {
            if let Ok(broker) = brokers.get(&entry.broker) {
                for stream in streams_of(broker, &entry.stream).await {
                    measure(broker, &stream, &entry.group).await;
                }
            }
        }
    }

    fn number(&self, incoming: &Incoming) -> usize {
        let names = (
            incoming.delivery.stream().clone(),
            incoming.context.group().clone(),
        );
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = handlers.numbers.get(&names) {
            return *number;
        }
        drop(handlers);
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        let next = handlers.timed.len();
        if let Some(number) = handlers.numbers.get(&names) {
            return *number;
        }
        let (stream, group) = (names.0.to_string(), names.1.to_string());
        handlers
            .timed
            .push(histogram!("broker_handler_seconds", "stream" => stream, "group" => group));
        handlers.numbers.insert(names, next);
        next
    }
}

impl Observer for Metering {
    fn started(&self, incoming: &Incoming) -> u64 {
        self.number(incoming) as u64
    }

    fn ended(&self, number: u64, took: Duration, _: Ended<'_>) {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(timed) = usize::try_from(number)
            .ok()
            .and_then(|number| handlers.timed.get(number))
        {
            timed.record(took.as_secs_f64());
        }
    }
}

impl std::fmt::Debug for Metering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metering").finish_non_exhaustive()
    }
}

async fn count(broker: &Broker) {
    let health = broker.health_stats().await;
    let (name, counts) = (broker.name().to_owned(), health.counts);
    counter!("broker_published_total", "broker" => name.clone()).absolute(counts.published);
    counter!("broker_publish_failed_total", "broker" => name.clone()).absolute(counts.publish_failed);
    counter!("broker_delivered_total", "broker" => name.clone()).absolute(counts.delivered);
    counter!("broker_redelivered_total", "broker" => name.clone()).absolute(counts.redelivered);
    for (how, count) in [
        ("acked", counts.acked),
        ("nacked", counts.nacked),
        ("dead", counts.dead),
        ("discarded", counts.discarded),
    ] {
        counter!("broker_settled_total", "broker" => name.clone(), "as" => how).absolute(count);
    }
    gauge!("broker_in_flight", "broker" => name.clone()).set(number(counts.in_flight));
    gauge!("broker_healthy", "broker" => name).set(if health.connected { 1.0 } else { 0.0 });
}

async fn streams_of(broker: &Broker, source: &str) -> Vec<StreamName> {
    let pattern = StreamPattern::is_pattern(source)
        .then(|| StreamPattern::new(source).ok())
        .flatten();
    match pattern {
        None => StreamName::new(source).into_iter().collect(),
        Some(pattern) => {
            let mut streams = broker.streams().await.unwrap_or_default();
            streams.retain(|stream| pattern.matches(stream.as_str()));
            streams
        }
    }
}

async fn measure(broker: &Broker, stream: &StreamName, group: &str) {
    if !broker.has_capability(Capabilities::CONSUMER_GROUPS) {
        return;
    }
    // A broker that does not answer is seen in `broker_healthy`; what it said last stays.
    let groups = broker.groups(stream).await.unwrap_or_default();
    let Some(info) = groups.into_iter().find(|info| info.group.as_str() == group) else {
        return;
    };
    let oldest = info.oldest_pending.unwrap_or_default().as_secs_f64();
    for (name, value) in [
        ("broker_lag", number(info.lag)),
        ("broker_pending", number(info.pending)),
        ("broker_oldest_pending_seconds", oldest),
    ] {
        let (broker, stream) = (broker.name().to_owned(), stream.to_string());
        gauge!(name, "broker" => broker, "stream" => stream, "group" => group.to_owned()).set(value);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody reads the sixteenth digit of a count"
)]
fn number(count: u64) -> f64 {
    count as f64
}
