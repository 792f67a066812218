//! One server.

use broker_core::{ErrorKind, Retry};
use broker_testkit::servers::RedisConfig;

use crate::scene::{eventually, open, round_trip, text};

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = RedisConfig::new().start().unwrap();
    let socket = server.socket();
    let by_uri = open(&format!("redis+unix://{}", socket.display()), &[]).unwrap();
    round_trip(&by_uri, "orders").await.unwrap();
    let by_field = open("redis://", &[("socket", socket.to_str().unwrap())]).unwrap();
    round_trip(&by_field, "orders").await.unwrap();
}

#[tokio::test]
async fn a_probe_more_often_than_the_system_counts_is_one_a_second() {
    let server = RedisConfig::new().start().unwrap();
    let broker = open(&server.url(), &[("keep_alive", "100ms")]).unwrap();
    round_trip(&broker, "orders").await.unwrap();
}

/// Each missing right is one line with the command's name; the rest goes on.
#[tokio::test]
async fn a_missing_right_is_named() {
    let server = RedisConfig::new()
        .user("app", "app-secret", "~* +@all -xadd -xpending")
        .user(
            "narrow",
            "narrow-secret",
            "~{orders}:* ~orders ~broker:streams +@all",
        )
        .start()
        .unwrap();
    let url = |user: &str| format!("redis://{user}:{user}-secret@127.0.0.1:{}/0", server.port());
    let broker = open(&url("app"), &[]).unwrap();
    let error = broker.publish("orders", text(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Permission, Retry::Never)
    );
    let line = error.to_string();
    assert!(
        line.contains("the server's ACL refuses:") && line.contains("'xadd'"),
        "{line}"
    );
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
    // Within a script as well.
    let error = broker.groups("orders").await.err();
    assert!(error.is_none_or(|error| error.kind() == ErrorKind::Permission));

    let narrow = open(&url("narrow"), &[]).unwrap();
    round_trip(&narrow, "orders").await.unwrap();
    let error = narrow.publish("invoices", text(1)).await.unwrap_err();
    let line = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Permission, "{line}");
    assert!(line.contains("key"), "{line}");
}

#[tokio::test]
async fn a_server_with_a_password_says_so() {
    let server = RedisConfig::new().password("right-secret").start().unwrap();
    for (url, line) in [
        (format!("redis://127.0.0.1:{}/0", server.port()), "set `password`"),
        (
            format!("redis://:wrong-secret@127.0.0.1:{}/0", server.port()),
            "the server refuses the credentials",
        ),
    ] {
        let error = open(&url, &[]).unwrap().ensure_connection().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::Permission, Retry::Never)
        );
        assert!(error.to_string().contains(line), "{error}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

/// A server that was made a replica is left, and asked again whether it is one.
#[tokio::test]
async fn a_replica_is_worth_another_try() {
    let (server, other) = (
        RedisConfig::new().start().unwrap(),
        RedisConfig::new().start().unwrap(),
    );
    let broker = open(&server.url(), &[("operation_retries", "0")]).unwrap();
    round_trip(&broker, "orders").await.unwrap();
    server
        .command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()])
        .unwrap();
    let error = broker.publish("orders", text(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    eventually("the server takes messages again", async || {
        broker.publish("orders", text(2)).await.is_ok()
    })
    .await;
}
