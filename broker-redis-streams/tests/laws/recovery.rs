//! Groups that vanish.

use std::time::Duration;

use broker_core::BrokerEvent;

use crate::scene::{asked, eventually, open, publish, server, take, texts};

/// Law 3, hazard 3: what a member makes again is the group of all of them.
#[tokio::test]
async fn a_vanished_group_keeps_what_other_members_had_in_hand() {
    let server = server();
    let (one, other) = (open(&server, "consumer=one"), open(&server, "consumer=other"));
    publish(&one, "orders", 0..6).await;
    let held = take(&one, "orders", "billing", 3).await;
    for delivery in take(&other, "orders", "billing", 3).await {
        delivery.ack().await.unwrap();
    }
    assert_eq!(held.len(), 3);
    server
        .command(&["XGROUP", "DESTROY", "orders", "billing"])
        .unwrap();
    let again = take(&other, "orders", "billing", 3).await;
    assert_eq!(texts(&again), ["0", "1", "2"]);
}

/// The position is written down at the server: a process that never saw the group goes on where it was.
#[tokio::test]
async fn a_new_process_goes_on_where_a_vanished_group_was() {
    let server = server();
    let first = open(&server, "consumer=first&message_timeout=1s");
    publish(&first, "orders", 0..6).await;
    for delivery in take(&first, "orders", "billing", 4).await {
        delivery.ack().await.unwrap();
    }
    eventually("the position is written down", async || {
        let more = first
            .read_wait("orders", "billing", 2, Duration::from_millis(50))
            .await
            .unwrap();
        for delivery in more {
            delivery.ack().await.unwrap();
        }
        let at = asked(&server, &["HGET", "{orders}:g:billing:state", "at"]);
        asked(&server, &["XINFO", "STREAM", "orders"]).contains(&format!("last-generated-id {at} "))
    })
    .await;
    first.close().await.unwrap();
    server
        .command(&["XGROUP", "DESTROY", "orders", "billing"])
        .unwrap();
    let second = open(&server, "consumer=second");
    publish(&second, "orders", 6..7).await;
    let came = texts(&take(&second, "orders", "billing", 1).await);
    assert_eq!(came, ["6"], "what was settled came again");
}

/// FLUSHALL, or a restart without persistence: whatever is there afterwards came later, and all of it is read.
#[tokio::test]
async fn after_all_data_was_lost_nothing_new_is_missed() {
    for partitions in [1, 4] {
        let server = server();
        let broker = open(&server, &format!("partitions={partitions}"));
        let mut events = broker.events();
        publish(&broker, "orders", 0..8).await;
        for delivery in take(&broker, "orders", "billing", 8).await {
            delivery.ack().await.unwrap();
        }
        server.command(&["FLUSHALL"]).unwrap();
        // From another process, before this one has noticed anything.
        publish(
            &open(&server, &format!("partitions={partitions}")),
            "orders",
            8..16,
        )
        .await;
        let mut came = texts(&take(&broker, "orders", "billing", 8).await);
        came.sort_by_key(|text| text.parse::<usize>().unwrap());
        assert_eq!(came, (8..16).map(|number| number.to_string()).collect::<Vec<_>>());
        let recreated = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event, BrokerEvent::GroupRecreated { .. }))
            .count();
        assert!((1..=partitions).contains(&recreated), "{recreated}");
    }
}
