//! Members that come and go.

use std::time::Duration;

use broker_core::StartPosition;

use crate::scene::{asked, eventually, open, publish, server, take, texts};

/// Hazard 2: a removed member's deliveries go to the others.
#[tokio::test]
async fn a_member_is_removed_without_losing_what_it_had() {
    let server = server();
    let (dead, alive) = (open(&server, "consumer=dead"), open(&server, "consumer=alive"));
    publish(&dead, "orders", 0..3).await;
    let held = take(&dead, "orders", "billing", 3).await;
    assert_eq!(
        alive.remove_consumer("orders", "billing", "dead").await.unwrap(),
        3
    );
    assert!(!asked(&server, &["XINFO", "CONSUMERS", "orders", "billing"]).contains("dead"));
    let taken = take(&alive, "orders", "billing", 3).await;
    assert_eq!(texts(&taken), ["0", "1", "2"]);
    assert!(taken.iter().all(|delivery| delivery.attempt() == 2));
    drop(held);
}

/// Hazard 30: members without a sign of life are removed by those that live, and nothing is lost with them.
#[tokio::test]
async fn the_long_dead_are_removed_and_their_deliveries_go_on() {
    let server = server();
    let settings = |name: &str| format!("consumer={name}&message_timeout=300ms&reap_after=1s");
    let dead = open(&server, &settings("dead"));
    publish(&dead, "orders", 0..3).await;
    let held = take(&dead, "orders", "billing", 3).await;
    // A member with a lease of its own, longer than the rest of this test, is not dead for being silent.
    let busy = open(&server, "consumer=busy&message_timeout=1h");
    busy.read("orders", "billing", 1).await.unwrap();
    let alive = open(&server, &settings("alive"));
    let taken = take(&alive, "orders", "billing", 3).await;
    for delivery in &taken {
        delivery.ack().await.unwrap();
    }
    eventually("the dead member is gone", async || {
        alive
            .read_wait("orders", "billing", 1, Duration::from_millis(50))
            .await
            .unwrap();
        !asked(&server, &["XINFO", "CONSUMERS", "orders", "billing"]).contains("dead")
    })
    .await;
    assert!(asked(&server, &["XINFO", "CONSUMERS", "orders", "billing"]).contains("busy"));
    // The member that asked for it may not have its answer yet.
    eventually("that is counted", async || {
        let health = alive.health_stats().await;
        health
            .details
            .contains(&("members_reaped".to_owned(), "1".to_owned()))
    })
    .await;
    drop(held);
}

/// Who looks at a stream's groups while one is made and removed finds it or doesn't.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_goes_while_it_is_looked_at_is_no_error() {
    let server = server();
    let (looking, working) = (open(&server, "partitions=2"), open(&server, "partitions=2"));
    publish(&working, "orders", 0..1).await;
    let coming_and_going = tokio::spawn(async move {
        for _ in 0..300 {
            let start = StartPosition::Earliest;
            working.create_group("orders", "brief", start).await.unwrap();
            working.delete_group("orders", "brief", true).await.unwrap();
        }
    });
    while !coming_and_going.is_finished() {
        let groups = looking.groups("orders").await.unwrap();
        assert!(
            groups.iter().all(|group| group.group.as_str() == "brief"),
            "{groups:?}"
        );
    }
    coming_and_going.await.unwrap();
}
