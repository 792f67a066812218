//! Streams that are kept within bounds by settings.

use broker_core::BrokerEvent;

use crate::scene::{asked, eventually, number, open, publish, server, take, texts};

/// Law 14, hazard 10: what is over the bound goes, and never what a group still needs.
#[tokio::test]
async fn a_stream_is_bounded_behind_its_slowest_group() {
    for exact in [true, false] {
        let server = server();
        let broker = open(&server, &format!("retention_length=500&retention_exact={exact}"));
        broker.read("orders", "slow", 1).await.unwrap();
        for batch in 0..20 {
            publish(&broker, "orders", batch * 100..(batch + 1) * 100).await;
        }
        assert_eq!(
            number(&server, &["XLEN", "orders"]),
            2_000,
            "the group still needs them"
        );
        for expected in (0..2_000).step_by(500) {
            let taken = take(&broker, "orders", "slow", 500).await;
            assert_eq!(
                texts(&taken),
                (expected..expected + 500)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
            );
            for delivery in taken {
                delivery.ack_later();
            }
        }
        let mut next = 2_000;
        // Trimming follows the answer to a publish, and the group is one message behind.
        let most = if exact { 505 } else { 700 };
        eventually("the stream is within its bound", async || {
            for delivery in take(&broker, "orders", "slow", next - 2_000).await {
                delivery.ack().await.unwrap();
            }
            publish(&broker, "orders", next..next + 1).await;
            next = 2_001;
            number(&server, &["XLEN", "orders"]) <= most
        })
        .await;
        assert!(number(&server, &["XLEN", "orders"]) >= 500);
    }
}

/// By force the bound holds whatever a group needs, and what it loses is counted and told.
#[tokio::test]
async fn a_forced_bound_tells_what_was_lost() {
    let server = server();
    let broker = open(
        &server,
        "retention_length=10&retention_exact=true&retention_force=true",
    );
    let mut events = broker.events();
    broker.read("orders", "slow", 1).await.unwrap();
    publish(&broker, "orders", 0..100).await;
    eventually("the stream is within its bound", async || {
        number(&server, &["XLEN", "orders"]) == 10
    })
    .await;
    let taken = take(&broker, "orders", "slow", 10).await;
    assert_eq!(
        texts(&taken),
        (90..100).map(|number| number.to_string()).collect::<Vec<_>>()
    );
    let lost: u64 = std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event {
            BrokerEvent::MessagesLost { count, .. } => Some(count),
            _ => None,
        })
        .sum();
    assert_eq!(lost, 90);
}

/// What is too old goes as messages come, on the server's clock.
#[tokio::test]
async fn old_messages_go_as_new_ones_come() {
    let server = server();
    let broker = open(&server, "retention_age=300ms&retention_exact=true");
    publish(&broker, "orders", 0..10).await;
    eventually("the first ones are gone", async || {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        publish(&broker, "orders", 10..11).await;
        !asked(&server, &["XRANGE", "orders", "-", "+"]).contains("data 0")
    })
    .await;
}
