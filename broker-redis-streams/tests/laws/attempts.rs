//! What counts as an attempt.

use std::time::Duration;

use crate::scene::{EVENTUALLY, eventually, open, publish, server, take};

/// Law 7: what a member had read ahead and nobody was given does not count, however long it lay there.
#[tokio::test]
async fn what_nobody_has_seen_was_not_an_attempt() {
    let server = server();
    let settings = |name: &str, lease: &str| format!("partitions=4&message_timeout={lease}&consumer={name}");
    // What the other one takes stays its own, however slow the machine.
    let (idle, other) = (
        open(&server, &settings("a", "800ms")),
        open(&server, &settings("b", "1m")),
    );
    publish(&idle, "orders", 0..40).await;
    // A look at all four partitions hands out what the first of them has; the others' messages lie in this process.
    let seen = take(&idle, "orders", "billing", 1).await;
    let seen: Vec<_> = seen.iter().map(|delivery| delivery.id()).collect();
    eventually("what nobody has seen is given back", async || {
        let held = |partition| {
            let stream = format!("{{orders}}:p:{partition}");
            let held = server.command(&["XPENDING", &stream, "billing", "-", "+", "100", "a"]);
            held.map_or(0, |held| held.as_list().len())
        };
        (0..4).map(held).sum::<usize>() <= seen.len()
    })
    .await;
    for delivery in take(&other, "orders", "billing", 40).await {
        let expected = if seen.contains(&delivery.id()) { 2 } else { 1 };
        assert_eq!(delivery.attempt(), expected, "{}", delivery.id());
        delivery.ack().await.unwrap();
    }
}

/// A read whose caller went away takes a message from nobody: it goes to who asks, long before its lease ends.
#[tokio::test]
async fn a_dropped_read_keeps_no_message_from_the_others() {
    let server = server();
    let (gone, other) = (
        open(&server, "message_timeout=60s&consumer=a"),
        open(&server, "message_timeout=60s&consumer=b"),
    );
    let read = gone.read_wait("orders", "billing", 10, EVENTUALLY);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), read)
            .await
            .is_err()
    );
    publish(&other, "orders", 0..3).await;
    // Long before a lease ends.
    let taken = take(&other, "orders", "billing", 3).await;
    assert!(taken.iter().all(|delivery| delivery.attempt() == 1));
}

/// Members of one name have one lease at the server: what the one with the longer lease left lying is back in time.
#[tokio::test]
async fn a_shorter_lease_of_the_same_name_leaves_no_time_to_lie_around() {
    let server = server();
    let broker = open(&server, "message_timeout=60s&consumer=a");
    let read = broker.read_wait("orders", "billing", 10, EVENTUALLY);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), read)
            .await
            .is_err()
    );
    publish(&broker, "orders", 0..1).await;
    let short = broker
        .subscribe("orders", "billing")
        .lease(Duration::from_secs(2));
    let mut subscription = short.start().await.unwrap();
    let delivery = subscription.next().await.unwrap().unwrap();
    assert_eq!(delivery.attempt(), 1);
}
