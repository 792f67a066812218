//! The engine over the embedded broker: from the log to the handler and its ack.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::engine::{AckPolicy, Declared, Payload};
use broker::inline::InlineConfig;
use broker::prelude::*;
use serde::Deserialize;

use super::BATCH;
use crate::payload::Payload as Load;

#[derive(Deserialize)]
struct Small {
    id: u64,
    name: String,
    cents: u64,
}

async fn look(Payload(payload): Payload) {
    black_box(payload.len());
}

async fn read(Json(small): Json<Small>) {
    black_box((small.id, small.name.len(), small.cents));
}

/// What a subscriber of the benchmark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Coalesced,
    Each,
    Lanes,
    Json,
}

impl Way {
    fn subscriber(self) -> Declared {
        let subscriber = Subscriber::new("bench", "handlers");
        match self {
            Self::Coalesced => subscriber.handle(look).into(),
            Self::Each => subscriber.handle(look).ack(AckPolicy::Each).into(),
            Self::Lanes => subscriber.handle(look).concurrency(8).into(),
            Self::Json => subscriber.handle(read).into(),
        }
    }

    fn batch(self, payload: Load) -> Vec<Message> {
        match self {
            Self::Coalesced | Self::Each => payload.batch(BATCH),
            Self::Lanes => {
                let keys = KEYS.chunks_exact(2).cycle();
                let messages = payload.batch(BATCH).into_iter().zip(keys);
                messages.map(|(message, key)| message.key(key)).collect()
            }
            Self::Json => (0..BATCH).map(|_| Message::new(JSON)).collect(),
        }
    }
}

/// The keys, two digits each. They are static, as a key that is shared and counted would measure the counting.
static KEYS: &[u8] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263";

/// The payload that is read from JSON.
const JSON: &[u8] = br#"{"id":7,"name":"one coffee","cents":350}"#;

/// Reads JSON as the engine does, and nothing else.
pub(super) fn parse(messages: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..messages {
        let text = std::str::from_utf8(black_box(JSON));
        let small = text.map(serde_json::from_str::<Small>);
        if let Ok(Ok(small)) = small {
            black_box((small.id, small.name.len(), small.cents));
        }
    }
    start.elapsed()
}

/// Publishes alone: what the handling cases are counted without.
pub(super) async fn publish(messages: usize, way: Way, payload: Load) -> anyhow::Result<Duration> {
    let broker = Broker::connect("inline://").await?;
    let publisher = broker.publisher("bench").build().await?;
    let start = Instant::now();
    for _ in 0..messages / BATCH {
        publisher.send_batch(way.batch(payload)).await?;
    }
    broker.close().await?;
    Ok(start.elapsed())
}

/// Publishes in batches, or one by one, and handles.
pub(super) async fn handle(
    messages: usize,
    way: Way,
    singly: bool,
    payload: Load,
) -> anyhow::Result<Duration> {
    let brokers = Brokers::builder().default(InlineConfig::default()).build()?;
    let total = messages / BATCH * BATCH;
    let engine = Engine::builder(brokers.clone())
        .subscribe(way.subscriber())
        .start()
        .await?;
    let publisher = brokers.default_broker().publisher("bench").build().await?;
    let start = Instant::now();
    for _ in 0..messages / BATCH {
        if singly {
            for message in way.batch(payload) {
                publisher.send(message).await?;
            }
        } else {
            publisher.send_batch(way.batch(payload)).await?;
        }
    }
    while engine.receipt().settled < total as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let receipt = engine.stop().await?;
    ensure!(
        receipt.settled == total as u64 && receipt.drained,
        "not every message was settled once: {receipt}"
    );
    Ok(took)
}
