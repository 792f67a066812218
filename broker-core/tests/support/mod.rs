//! A scripted adapter: a small queue that fails, waits and counts as a test tells it to.
//!
//! It is a source of faults, not the imitation of a broker: the laws of what users call are tested against it without a
//! provider in between.

#![allow(dead_code, unused_imports, reason = "each test binary uses its part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod adapter;
mod resolved;
mod script;

use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::config::BrokerConfig;
use broker_core::{Capabilities, Error, ErrorKind, Message, Publisher, Retry, Subscription};
use futures_util::future::join_all;

pub(crate) use adapter::{PROVIDER, ScriptConfig};
pub(crate) use script::{Call, Script, Step};

/// What the adapter claims unless a test says otherwise.
pub(crate) const CLAIMS: Capabilities = Capabilities::RELIABLE_MESSAGING
    .union(Capabilities::BLOCKING_READ)
    .union(Capabilities::DEAD_LETTER_QUEUE);

/// Settings under which nothing is left to chance.
pub(crate) fn settings() -> BrokerConfig {
    BrokerConfig {
        jitter: false,
        operation_retry_delay: Duration::from_millis(10),
        ..BrokerConfig::default()
    }
}

/// A broker and the script that its adapter follows.
pub(crate) fn broker() -> (Broker, Script) {
    broker_with(Script::new(CLAIMS), settings())
}

/// A broker that follows `script`.
pub(crate) fn broker_with(script: Script, settings: BrokerConfig) -> (Broker, Script) {
    let config = ScriptConfig::following(&script);
    (Broker::open_with("default", settings, config).unwrap(), script)
}

/// A subscription that holds at most `prefetch` deliveries.
pub(crate) async fn subscribe(broker: &Broker, prefetch: usize) -> Subscription {
    broker
        .subscribe("s", "g")
        .prefetch(prefetch)
        .start()
        .await
        .unwrap()
}

/// How many deliveries are in somebody's hands, as health tells it.
pub(crate) async fn in_flight(broker: &Broker) -> u64 {
    broker.health_stats().await.counts.in_flight
}

/// What numbered messages hold.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// The error of a connection that went away.
pub(crate) fn lost(retry: Retry) -> Error {
    Error::new(ErrorKind::Connection, "connection lost").retry(retry)
}

/// Sends numbered messages at once, one task each, and answers with the offsets.
pub(crate) async fn send_all(
    publisher: &Publisher,
    range: std::ops::Range<usize>,
) -> Vec<Result<String, Error>> {
    let sends = range.map(|number| async move {
        let id = publisher.send(Message::text(number.to_string())).await?;
        Ok(id.to_string())
    });
    join_all(sends).await
}
