//! Lanes overlap different keys and never one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::engine::Key;
use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{Seen, publish_numbers, until};

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

/// Lanes overlap different keys and never one; how much faster that is, the benchmark measures.
pub(crate) async fn eight_lanes_keep_the_order_of_each_key(stage: Stage) {
    let (brokers, orders) = (stage.brokers(), stage.stream("orders"));
    let (lanes, messages) = (8, 2000);
    let state = Watch::default();
    publish_numbers(&brokers, orders, 0..messages, 64).await;
    let engine = Engine::builder(brokers.clone())
        .state(state.clone())
        .subscribe(
            Subscriber::new(orders, "billing")
                .handle(watch)
                .concurrency(lanes),
        )
        .start()
        .await
        .unwrap();
    until("all are handled", || state.seen.len() == messages as usize).await;
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
}
