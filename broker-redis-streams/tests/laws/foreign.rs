//! Entries of other programs.

use crate::scene::{asked, number, open, server, take};

/// An entry written by plain `XADD` with fields of its own is readable, acked like any other, and hurts nobody.
#[tokio::test]
async fn an_entry_with_fields_of_its_own_is_a_message() {
    let server = server();
    let broker = open(&server, "");
    server
        .command(&["XADD", "orders", "*", "sku", "A-1", "price", "12"])
        .unwrap();
    server
        .command(&["XADD", "orders", "*", "data", "{\"id\": 7}"])
        .unwrap();
    let taken = take(&broker, "orders", "billing", 2).await;
    let fields: serde_json::Value = taken.first().unwrap().json().unwrap();
    assert_eq!(fields, serde_json::json!({"sku": "A-1", "price": "12"}));
    let data: serde_json::Value = taken.get(1).unwrap().json().unwrap();
    assert_eq!(data, serde_json::json!({"id": 7}));
    for delivery in taken {
        delivery.ack().await.unwrap();
    }
    assert!(asked(&server, &["XPENDING", "orders", "billing"]).contains('0'));
    assert_eq!(number(&server, &["XLEN", "orders"]), 2);
}

/// With one partition, any other client joins the group: what it reads we do not, what it acks is acked.
#[tokio::test]
async fn another_program_shares_the_group() {
    let server = server();
    let broker = open(&server, "");
    crate::scene::publish(&broker, "orders", 0..2).await;
    let ours = take(&broker, "orders", "billing", 1).await;
    let theirs = asked(
        &server,
        &[
            "XREADGROUP",
            "GROUP",
            "billing",
            "them",
            "COUNT",
            "10",
            "STREAMS",
            "orders",
            ">",
        ],
    );
    assert!(theirs.contains('1') && theirs.contains("data"), "{theirs}");
    assert_eq!(broker.read("orders", "billing", 10).await.unwrap().count(), 0);
    let id = ours.first().unwrap().id().to_string();
    assert_eq!(number(&server, &["XACK", "orders", "billing", &id]), 1);
    assert_eq!(
        ours.first().unwrap().ack().await.unwrap(),
        broker_core::Settled::AlreadySettled
    );
}
