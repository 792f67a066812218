//! Other programs' entries are read, and ours are what the documentation says.

use broker_core::{ErrorKind, Message};
use serde_json::json;

use crate::scene::{number, open, server};

/// What Protean's `redis_pubsub` broker does to read: `LINDEX` at the group's position, then `INCR`.
fn protean_reads(server: &broker_testkit::servers::RedisServer, stream: &str, group: &str) -> Option<String> {
    let key = format!("position:{stream}:{group}");
    let position = server.command(&["GET", &key]).unwrap().to_text();
    let position = if position.is_empty() {
        "0".to_owned()
    } else {
        position
    };
    let element = server.command(&["LINDEX", stream, &position]).unwrap().to_text();
    if element.is_empty() {
        return None;
    }
    server.command(&["INCR", &key]).unwrap();
    Some(element)
}

#[tokio::test]
async fn protean_and_we_share_a_group_message_by_message() {
    let server = server();
    let broker = open(&server, "format=protean");
    server
        .command(&["RPUSH", "orders", r#"["7d0c", {"data": {"id": 1}}]"#])
        .unwrap();
    let theirs = broker.read("orders", "billing", 1).await.unwrap().next().unwrap();
    assert_eq!(theirs.id().to_string(), "7d0c");
    assert_eq!(theirs.message().payload().as_ref(), br#"{"data": {"id": 1}}"#);
    assert_eq!(
        server
            .command(&["GET", "position:orders:billing"])
            .unwrap()
            .to_text(),
        "1"
    );

    let id = broker
        .publish("orders", Message::json(&json!({"id": 2})).unwrap())
        .await
        .unwrap();
    let ours = protean_reads(&server, "orders", "billing").unwrap();
    assert_eq!(ours, format!("[\"{id}\",{{\"id\":2}}]"));
    assert!(
        broker
            .read("orders", "billing", 1)
            .await
            .unwrap()
            .next()
            .is_none()
    );
    assert!(protean_reads(&server, "orders", "billing").is_none());
}

#[tokio::test]
async fn protean_format_refuses_what_it_would_cut_down() {
    let server = server();
    let broker = open(&server, "format=protean");
    let keyed = Message::json(&json!({})).unwrap().key("k");
    let error = broker.publish("orders", keyed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    assert_eq!(number(&server, &["EXISTS", "orders"]), 0);
}

#[tokio::test]
async fn plain_json_needs_no_setting_on_either_side() {
    for mode in ["list", "queue"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}"));
        server.command(&["RPUSH", "s", r#"["a-1", {"id": 1}]"#]).unwrap();
        let delivery = broker.read("s", "g", 1).await.unwrap().next().unwrap();
        assert_eq!(delivery.id().to_string(), "a-1");
        assert_eq!(delivery.json::<serde_json::Value>().unwrap(), json!({"id": 1}));
        broker
            .publish("t", Message::json(&json!({"id": 2})).unwrap())
            .await
            .unwrap();
        let element = server.command(&["LINDEX", "t", "0"]).unwrap().to_text();
        assert!(
            element.starts_with("[\"m") && element.ends_with(",{\"id\":2}]"),
            "{element}"
        );
    }
}

#[tokio::test]
async fn bare_entries_are_payloads_and_the_plain_format_writes_them() {
    for mode in ["list", "queue"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}&format=plain"));
        server.command(&["RPUSH", "s", "by hand"]).unwrap();
        broker.publish("s", Message::text("by us")).await.unwrap();
        assert_eq!(server.command(&["LINDEX", "s", "-1"]).unwrap().to_text(), "by us");
        server.command(&["RPUSH", "s", "[\"not ours\"", ""]).unwrap();
        let got: Vec<_> = broker.read("s", "g", 10).await.unwrap().collect();
        let payloads: Vec<_> = got
            .iter()
            .map(|delivery| delivery.message().payload().as_ref())
            .collect();
        assert_eq!(payloads, [b"by hand".as_slice(), b"by us", b"[\"not ours\"", b""]);
        assert_eq!(got.first().unwrap().id().to_string(), "0:0");
    }
}
