//! A handler may take longer than a lease.

use std::time::Duration;

use broker::prelude::*;

use crate::stage::Stage;
use crate::support::{Seen, publish_numbers, until};

/// So long that a busy machine prolongs it in time.
const LEASE: Duration = Duration::from_secs(3);

async fn slow(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
    tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
    seen.push(number);
}

pub(crate) async fn a_slow_handler_keeps_its_message(stage: Stage) {
    let (brokers, jobs) = (stage.brokers(), stage.stream("jobs"));
    let seen = Seen::<u64>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new(jobs, "worker")
                .handle(slow)
                .lease(LEASE)
                .concurrency(2),
        )
        .start()
        .await
        .unwrap();
    // Four wait behind two: what was read ahead keeps its lease too.
    publish_numbers(&brokers, jobs, 0..4, 0).await;
    until("all are handled", || seen.len() == 4).await;
    let tally = engine.stop().await.unwrap().of_group("worker");
    assert_eq!((tally.started, tally.handled), (4, 4), "none came twice");
}
