//! Lanes overlap different keys and never one.

use std::time::Duration;

use broker::Brokers;
use broker::engine::Key;
use broker::prelude::*;
use tokio::time::Instant;

use crate::stage::Stage;
use crate::support::publish_numbers;
use crate::watch::Watch;

async fn handle(number: Json<u64>, key: Key, State(watch): State<Watch>) {
    let work = tokio::time::sleep(Duration::from_millis(1));
    watch.hold(vec![(number, key)], work).await;
}

/// Handles messages of sixty-four keys in so many lanes, a millisecond each; answers how long that took.
///
/// All lanes are used, none has a key that another has, and each key's messages keep their order.
pub async fn lanes(brokers: &Brokers, stream: &str, lanes: usize, messages: u64) -> Duration {
    let watch = Watch::default();
    publish_numbers(brokers, stream, 0..messages, 64).await;
    let began = Instant::now();
    let engine = Engine::builder(brokers.clone())
        .state(watch.clone())
        .subscribe(
            Subscriber::new(stream, "billing")
                .handle(handle)
                .concurrency(lanes),
        )
        .start()
        .await
        .unwrap();
    watch.handled(messages).await;
    let took = began.elapsed();
    watch.kept_order(engine, messages).await;
    assert_eq!(watch.most(), lanes, "all lanes are used, and no more");
    took
}

/// How much faster that is, the engine's own tests show with a paused clock, and the benchmark measures.
pub(crate) async fn eight_lanes_keep_the_order_of_each_key(stage: Stage) {
    lanes(&stage.brokers(), stage.stream("orders"), 8, 2000).await;
}
