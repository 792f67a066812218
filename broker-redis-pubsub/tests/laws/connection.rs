//! Reaching a server, and what it refuses.

use broker_core::{ErrorKind, Message, Retry};
use broker_testkit::servers::RedisConfig;

use crate::scene::{open, open_at, server};

#[tokio::test]
async fn a_wrong_password_is_refused_for_good_and_never_shown() {
    let server = RedisConfig::new().password("right").start().unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{}/0", server.port());
    let broker = open_at(&url, "").unwrap();
    let error = broker.ensure_connection().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Permission, Retry::Never)
    );
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_of_its_stream_alone() {
    for mode in ["list", "queue"] {
        let server = server();
        let broker = open(&server, &format!("mode={mode}"));
        server.command(&["SET", "bad", "text"]).unwrap();
        let error = broker.publish("bad", Message::text("x")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::Unexpected, Retry::Never),
            "{error}"
        );
        let error = broker.read("bad", "g", 1).await.unwrap_err();
        assert_eq!(error.retry_class(), Retry::Never, "{error}");
        broker.publish("good", Message::text("x")).await.unwrap();
        assert_eq!(broker.read("good", "g", 1).await.unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_full_server_throttles_and_takes_messages_again_later() {
    let server = server();
    let broker = open(&server, "operation_retry_delay=1ms");
    broker.ensure_connection().await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let error = broker.publish("s", Message::text("x")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_class()),
        (ErrorKind::Throttled, Retry::Exhausted),
        "{error}"
    );
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    broker.publish("s", Message::text("x")).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = server();
    let broker = open_at(&format!("redis+unix://{}", server.socket().display()), "").unwrap();
    broker.publish("s", Message::text("x")).await.unwrap();
    assert_eq!(broker.read("s", "g", 1).await.unwrap().count(), 1);
}
