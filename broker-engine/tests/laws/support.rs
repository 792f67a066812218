//! Brokers to run on, and what handlers tell.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::inline::InlineConfig;
use broker::prelude::*;
use broker::{Brokers, DeadLetterQuery};
use broker_testkit::servers::{RedisConfig, RedisServer};

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The in-process broker, with all it can do.
pub(crate) fn inline() -> Brokers {
    Brokers::builder()
        .default(InlineConfig::default())
        .build()
        .unwrap()
}

/// The in-process broker with only these capabilities.
pub(crate) fn weak(capabilities: Capabilities) -> Brokers {
    let config = InlineConfig::default().capabilities(capabilities).unwrap();
    Brokers::builder().default(config).build().unwrap()
}

/// Redis Streams on a private server.
pub(crate) fn redis() -> (Brokers, RedisServer) {
    let server = RedisConfig::new().start().unwrap();
    let brokers = Brokers::builder()
        .default(broker::redis_streams::RedisStreamsConfig::new(&server.url()).unwrap())
        .build()
        .unwrap();
    (brokers, server)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "never: {what}"
    );
}

/// What handlers saw, in order.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Seen<T> {
    pub(crate) fn push(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Publishes numbers as JSON, with keys where there are several.
pub(crate) async fn publish_numbers(
    brokers: &Brokers,
    stream: &str,
    numbers: std::ops::Range<u64>,
    keys: u64,
) {
    let message = |number: u64| {
        let message = Message::json(&number).unwrap();
        match keys {
            0 => message,
            keys => message.key(format!("key-{}", number % keys)),
        }
    };
    let published = brokers
        .publish_batch(stream, numbers.map(message).collect())
        .await
        .unwrap();
    assert!(published.all_stored());
}

/// How many dead letters a group has.
pub(crate) async fn dead(brokers: &Brokers, stream: &str, group: &str) -> Vec<broker::DeadLetter> {
    let letters = brokers.default_broker().dead_letters(stream, group).unwrap();
    letters.list(DeadLetterQuery::default()).await.unwrap().letters
}
