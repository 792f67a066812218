//! Handled ids in Redis, on a real server.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use broker::engine::dedup::{Claim, DedupStore as _, RedisDedup};
use broker::engine::layers::DedupLayer;
use broker::inline::InlineConfig;
use broker::prelude::*;
use broker_testkit::servers::{RedisCluster, RedisConfig, RedisReplica, RedisServer, Reply};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_process_s_until_it_is_done_or_let_go() {
    let server = RedisConfig::new().start().unwrap();
    let (one, other) = (
        RedisDedup::new(&server.url(), LONG).unwrap(),
        RedisDedup::new(&server.url(), LONG).unwrap(),
    );
    assert_eq!(one.claim("a").await.unwrap(), Claim::Mine);
    assert_eq!(other.claim("a").await.unwrap(), Claim::Busy);
    other.release("a").await.unwrap();
    assert_eq!(
        other.claim("a").await.unwrap(),
        Claim::Busy,
        "it is not the other's to let go"
    );
    one.release("a").await.unwrap();
    assert_eq!(
        other.claim("a").await.unwrap(),
        Claim::Mine,
        "a failed handling does not count"
    );
    other.done("a").await.unwrap();
    one.release("a").await.unwrap();
    for store in [&one, &other] {
        assert_eq!(store.claim("a").await.unwrap(), Claim::Done);
    }
    let apart = RedisDedup::new(&server.url(), LONG).unwrap().prefix("other:");
    assert_eq!(apart.claim("a").await.unwrap(), Claim::Mine);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_claims_of_the_dead_are_forgotten_in_time() {
    let server = RedisConfig::new().start().unwrap();
    let short = Duration::from_millis(300);
    let store = RedisDedup::new(&server.url(), short).unwrap().claim_for(short);
    let other = RedisDedup::new(&server.url(), short).unwrap();
    assert_eq!(store.claim("dead").await.unwrap(), Claim::Mine);
    store.claim("done").await.unwrap();
    store.done("done").await.unwrap();
    let forgotten = async {
        for id in ["dead", "done"] {
            while other.claim(id).await.unwrap() != Claim::Mine {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_is_handled_once_by_two_engines_and_a_failure_does_not_count() {
    let server = RedisConfig::new().start().unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    async fn bill(State(calls): State<Arc<AtomicU32>>) -> Result<(), std::io::Error> {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(std::io::Error::other("the till is closed"));
        }
        Ok(())
    }
    let mut engines = Vec::new();
    for _ in 0..2 {
        // Two brokers apart: what they have in common is the server of the ids.
        let brokers = Brokers::builder()
            .default(InlineConfig::default())
            .build()
            .unwrap();
        let seen = RedisDedup::new(&server.url(), LONG).unwrap();
        let subscriber = Subscriber::new("orders", "billing")
            .handle(bill)
            .layer(DedupLayer::new(seen))
            .retry(
                RetryPolicy::attempts(50)
                    .delay(Duration::from_millis(10))
                    .multiplier(1.0),
            );
        let engine = Engine::builder(brokers.clone())
            .state(Arc::clone(&calls))
            .subscribe(subscriber);
        engines.push((brokers, engine.start().await.unwrap()));
    }
    for (brokers, _) in &engines {
        brokers
            .publish("orders", Message::text("one").id("order-1"))
            .await
            .unwrap();
    }
    let handled = async {
        let ended = |engine: &Engine| {
            let tally = engine.receipt().of_group("billing");
            tally.handled + tally.skipped == 1
        };
        while !engines.iter().all(|(_, engine)| ended(engine)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), handled)
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2, "once in vain and once well");
    let mut done = 0;
    for (_, engine) in engines {
        done += engine.stop().await.unwrap().of_group("billing").handled;
    }
    assert_eq!(done, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_known_all_over_a_cluster() {
    let cluster = RedisCluster::start(&RedisConfig::new()).unwrap();
    let (one, other) = (
        RedisDedup::new(&cluster.url(), LONG).unwrap(),
        RedisDedup::new(&cluster.url(), LONG).unwrap(),
    );
    // So many that each node has some.
    for number in 0..50 {
        let id = format!("orders/billing/{number}");
        assert_eq!(one.claim(&id).await.unwrap(), Claim::Mine);
        assert_eq!(other.claim(&id).await.unwrap(), Claim::Busy);
        if number % 2 == 0 {
            one.done(&id).await.unwrap();
            assert_eq!(other.claim(&id).await.unwrap(), Claim::Done);
        } else {
            one.release(&id).await.unwrap();
            assert_eq!(other.claim(&id).await.unwrap(), Claim::Mine);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_by_sentinels_and_found_again_after_a_fail_over() {
    let pair = RedisReplica::start(&RedisConfig::new().durable()).unwrap();
    let (one, other) = (
        RedisDedup::new(&pair.url(), LONG).unwrap(),
        RedisDedup::new(&pair.url(), LONG).unwrap(),
    );
    assert_eq!(one.claim("a").await.unwrap(), Claim::Mine);
    one.done("a").await.unwrap();
    assert_eq!(other.claim("a").await.unwrap(), Claim::Done);
    let port = pair.primary_port().unwrap();
    let is_primary = |server: &&RedisServer| server.port() == port;
    let replica = pair.servers().iter().find(|server| !is_primary(server)).unwrap();
    let in_step = async {
        // What is not with the replica yet would be gone with the primary.
        while replica.command(&["GET", "broker:dedup:a"]).unwrap() != Reply::Text(b"done".to_vec()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), in_step)
        .await
        .unwrap();
    pair.servers().iter().find(is_primary).unwrap().kill().unwrap();
    let found = async {
        loop {
            match other.claim("a").await {
                Ok(claim) => return claim,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let claim = tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap();
    assert_eq!(claim, Claim::Done, "the replica knows it too");
}

#[tokio::test]
async fn a_wrong_address_is_refused_without_its_password() {
    let error = RedisDedup::new("http://me:secret@localhost", LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error} {error:?}").contains("secret"));
}
