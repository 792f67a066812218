//! Handlers that wait a millisecond, as ones that ask a database do: what lanes are worth, on any broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::Brokers;
use broker::engine::Key;
use broker::inline::InlineConfig;
use broker::prelude::*;

/// How many keys the messages have.
const KEYS: usize = 64;

/// Whether each key's numbers came in turn.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The number that came last, by key.
    last: HashMap<Vec<u8>, usize>,
    /// Whether one came out of turn.
    broken: bool,
}

async fn wait(Json(number): Json<usize>, Key(key): Key, State(order): State<Order>) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut seen = order.0.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seen.last.insert(key.unwrap_or_default().to_vec(), number);
    seen.broken |= before.is_some_and(|before| before > number);
}

/// In process.
pub(super) async fn inline(messages: usize, lanes: usize) -> anyhow::Result<Duration> {
    let brokers = Brokers::builder().default(InlineConfig::default()).build()?;
    run(brokers, "lanes", messages, lanes).await
}

/// Handles `messages` that lie there in `lanes` lanes; fails where a key is out of order.
pub(crate) async fn run(
    brokers: Brokers,
    stream: &str,
    messages: usize,
    lanes: usize,
) -> anyhow::Result<Duration> {
    let numbers = (0..messages).map(|number| {
        let message = Message::json(&number)?;
        anyhow::Ok(message.key(format!("key-{}", number % KEYS)))
    });
    let published = brokers
        .publish_batch(stream, numbers.collect::<anyhow::Result<_>>()?)
        .await?;
    ensure!(published.all_stored(), "a message was not stored");
    let order = Order::default();
    let engine = Engine::builder(brokers)
        .state(order.clone())
        .subscribe(
            Subscriber::new(stream, "handlers")
                .handle(wait)
                .concurrency(lanes),
        )
        .start()
        .await?;
    // Joining a group is not what is measured.
    while engine.receipt().settled == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    while engine.receipt().settled < messages as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let receipt = engine.stop().await?;
    let disordered = order.0.lock().unwrap_or_else(PoisonError::into_inner).broken;
    ensure!(
        receipt.settled == messages as u64 && !disordered,
        "not every message was settled once and in the order of its key: {receipt}"
    );
    Ok(took)
}
