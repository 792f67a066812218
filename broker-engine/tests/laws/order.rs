//! Lanes overlap different keys and never one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::Brokers;
use broker::engine::Key;
use broker::prelude::*;
use tokio::time::Instant;

use crate::support::{Seen, inline, publish_numbers, until};

#[derive(Clone, Default)]
struct Watch {
    seen: Seen<(String, u64)>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    of_key: Arc<std::sync::Mutex<HashMap<String, usize>>>,
}

async fn watch(Json(number): Json<u64>, Key(key): Key, State(watch): State<Watch>) {
    let key = String::from_utf8(key.unwrap().to_vec()).unwrap();
    let running = watch.running.fetch_add(1, Ordering::SeqCst) + 1;
    watch.most.fetch_max(running, Ordering::SeqCst);
    let before = std::mem::replace(watch.of_key.lock().unwrap().entry(key.clone()).or_default(), 1);
    assert_eq!(before, 0, "two messages of {key} overlap");
    tokio::time::sleep(Duration::from_millis(1)).await;
    watch.of_key.lock().unwrap().insert(key.clone(), 0);
    watch.running.fetch_sub(1, Ordering::SeqCst);
    watch.seen.push((key, number));
}

async fn time(brokers: Brokers, lanes: usize, messages: u64) -> Duration {
    let state = Watch::default();
    publish_numbers(&brokers, "orders", 0..messages, 64).await;
    let began = Instant::now();
    let engine = Engine::builder(brokers.clone())
        .state(state.clone())
        .subscribe(
            Subscriber::new("orders", "billing")
                .handle(watch)
                .concurrency(lanes),
        )
        .start()
        .await
        .unwrap();
    until("all are handled", || state.seen.len() == messages as usize).await;
    let took = began.elapsed();
    let receipt = engine.stop().await.unwrap();
    assert_eq!(
        (receipt.settled, receipt.subscribers[0].tally.panics),
        (messages, 0)
    );
    assert_eq!(
        state.most.load(Ordering::SeqCst),
        lanes,
        "all lanes are used, and no more"
    );
    let mut last = HashMap::new();
    for (key, number) in state.seen.all() {
        let before = last.insert(key.clone(), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{key}: {before:?} before {number}"
        );
    }
    took
}

#[tokio::test(start_paused = true)]
async fn eight_lanes_are_seven_times_as_fast_with_order_kept_inline() {
    let (one, eight) = (time(inline(), 1, 2000).await, time(inline(), 8, 2000).await);
    assert!(one >= eight * 7, "one lane {one:?}, eight {eight:?}");
}
