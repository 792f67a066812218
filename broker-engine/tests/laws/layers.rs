//! Tower's layers work unchanged, and so do the engine's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::engine::dedup::{Claim, DedupStore, MemoryDedup};
use broker::engine::layers::{
    DeadLetterLayer, DedupLayer, FilterLayer, Meter, MetricsLayer, RetryLayer, TracingLayer,
};
use broker::engine::{BoxError, Outcome, Outgoing};
use broker::prelude::{Delivery, Engine, Json, Message, RetryPolicy, State, Subscriber};
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

use crate::support::{Seen, dead, inline, publish_numbers, until};

fn quick(attempts: u32) -> RetryPolicy {
    RetryPolicy::attempts(attempts).delay(Duration::from_millis(10))
}

async fn handle(Json(number): Json<u64>, State(seen): State<Seen<u64>>) {
    seen.push(number);
}

#[tokio::test(start_paused = true)]
async fn towers_timeout_limit_and_load_shed_work_unchanged() {
    let brokers = inline();
    let engine = Engine::builder(brokers.clone())
        .retry(quick(1))
        .subscribe(
            Subscriber::new("jobs", "worker")
                .handle(std::future::pending::<()>)
                .layer(TimeoutLayer::new(Duration::from_secs(30)))
                .layer(ConcurrencyLimitLayer::new(1))
                .layer(LoadShedLayer::new())
                .concurrency(2),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "jobs", 0..2, 0).await;
    until("both are given up", || {
        engine.receipt().of_group("worker").dead == 2
    })
    .await;
    engine.stop().await.unwrap();
    let reasons: Vec<_> = dead(&brokers, "jobs", "worker")
        .await
        .into_iter()
        .map(|letter| letter.failure.reason)
        .collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("timed out")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("overloaded")),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_filter_skips_and_a_validator_refuses_for_good() {
    let brokers = inline();
    let seen = Seen::<u64>::default();
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("numbers", "odd")
                .handle(handle)
                .layer(FilterLayer::keep(|delivery| {
                    delivery.json::<u64>().is_ok_and(|number| number % 2 == 1)
                }))
                .layer(FilterLayer::validate(|delivery| match delivery.payload().len() {
                    1 => Ok(()),
                    _ => Err("too long"),
                })),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 6..12, 0).await;
    until("all are settled", || engine.receipt().settled == 6).await;
    let tally = engine.stop().await.unwrap().of_group("odd");
    assert_eq!((seen.all(), tally.skipped, tally.dead), (vec![7, 9], 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_id_is_handled_once_and_a_failed_handling_does_not_count() {
    let brokers = inline();
    let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handle = {
        let (calls, told) = (Arc::clone(&calls), Arc::clone(&told));
        move || {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            let told = Arc::clone(&told);
            async move {
                if first {
                    return Err("not yet");
                }
                told.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    };
    let store = MemoryDedup::new(Duration::from_secs(60), 1000);
    let engine = Engine::builder(brokers.clone())
        .retry(quick(5))
        .subscribe(
            Subscriber::new("jobs", "worker")
                .handle(handle)
                .layer(DedupLayer::new(store)),
        )
        .start()
        .await
        .unwrap();
    for id in ["a", "a", "b"] {
        // Another stream's window of the broker must not be what makes this pass.
        let message = Message::text("x")
            .id(id)
            .header("copy", fastrand::u64(..).to_string());
        let _ = brokers.publish("jobs", message).await;
    }
    let _ = brokers.publish("jobs", Message::text("x").id("b2")).await;
    until("all are settled", || told.load(Ordering::SeqCst) >= 3).await;
    engine.stop().await.unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 3, "a, b and b2 once each");
    assert_eq!(
        calls.load(Ordering::SeqCst),
        4,
        "and the one that failed once more"
    );
}

/// Looks, as an id is remembered, whether what followed from it is there.
#[derive(Debug)]
struct Looking {
    ids: MemoryDedup,
    brokers: broker::Brokers,
    found: Arc<AtomicUsize>,
}

#[broker::async_trait]
impl DedupStore for Looking {
    async fn claim(&self, id: &str) -> broker::Result<Claim> {
        self.ids.claim(id).await
    }

    async fn done(&self, id: &str) -> broker::Result<()> {
        let found = self.brokers.default_broker().read("bills", "looking", 10).await?;
        self.found.fetch_add(found.len(), Ordering::SeqCst);
        self.ids.done(id).await
    }

    async fn release(&self, id: &str) -> broker::Result<()> {
        self.ids.release(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_a_message_is_published_before_its_id_counts_as_handled() {
    let (brokers, found) = (inline(), Arc::new(AtomicUsize::new(0)));
    let store = Looking {
        ids: MemoryDedup::new(Duration::from_secs(60), 1000),
        brokers: brokers.clone(),
        found: Arc::clone(&found),
    };
    let answer = || async { Outgoing::new("bills", Message::text("7 euros")) };
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new("jobs", "worker")
                .handle(answer)
                .layer(DedupLayer::new(store)),
        )
        .start()
        .await
        .unwrap();
    brokers.publish("jobs", Message::text("x").id("a")).await.unwrap();
    until("it is handled", || {
        engine.receipt().of_group("worker").handled == 1
    })
    .await;
    engine.stop().await.unwrap();
    assert_eq!(found.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_retry_layer_tries_again_before_the_broker_hears_of_it() {
    let brokers = inline();
    let calls = Seen::default();
    let told = calls.clone();
    let handle = move || {
        told.push(());
        let good = told.len() == 3;
        async move { if good { Ok(()) } else { Err("not yet") } }
    };
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new("jobs", "worker")
                .handle(handle)
                .layer(RetryLayer::new(quick(3))),
        )
        .start()
        .await
        .unwrap();
    brokers.publish("jobs", Message::text("x")).await.unwrap();
    until("it is handled", || {
        engine.receipt().of_group("worker").handled == 1
    })
    .await;
    let tally = engine.stop().await.unwrap().of_group("worker");
    assert_eq!((calls.len(), tally.retried), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_dead_letter_layer_publishes_what_is_given_up() {
    let brokers = inline();
    let layer = DeadLetterLayer::new("graveyard", quick(2)).unwrap();
    let engine = Engine::builder(brokers.clone())
        .retry(quick(3))
        .subscribe(
            Subscriber::new("jobs", "worker")
                .handle(|| async { Err::<(), _>("never") })
                .layer(layer),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    brokers.publish("jobs", Message::text("x")).await.unwrap();
    let letters = brokers
        .default_broker()
        .receive_many("graveyard", "looking", 1, Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(
        letters[0].headers().get_str("dead-letter-attempts").unwrap(),
        Some("2")
    );
    engine.stop().await.unwrap();
    assert!(dead(&brokers, "jobs", "worker").await.is_empty());
}

#[derive(Clone, Default)]
struct Counted(Seen<(String, bool)>);

impl Meter for Counted {
    fn started(&self, delivery: &Delivery) {
        assert_eq!(delivery.stream().as_str(), "numbers");
    }
    fn ended(&self, stream: &str, group: &str, took: Duration, outcome: &Result<Outcome, BoxError>) {
        assert!(took < Duration::from_secs(1));
        self.0.push((format!("{stream}/{group}"), outcome.is_ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_handling_is_metered_and_traced() {
    let brokers = inline();
    let (seen, meter) = (Seen::<u64>::default(), Counted::default());
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .subscribe(
            Subscriber::new("numbers", "adder")
                .handle(handle)
                .layer(TracingLayer)
                .layer(MetricsLayer::new(meter.clone())),
        )
        .start()
        .await
        .unwrap();
    publish_numbers(&brokers, "numbers", 0..3, 0).await;
    until("all are handled", || seen.len() == 3).await;
    engine.stop().await.unwrap();
    assert_eq!(meter.0.all(), vec![("numbers/adder".to_owned(), true); 3]);
}
