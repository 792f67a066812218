//! What can't be connected to, in one line each.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use broker_core::config::Settings;
use broker_core::{ErrorKind, Retry};
use broker_testkit::servers::{Certificates, RedisConfig};

use crate::scene::{open, open_with};

/// Settings that can't be meant are refused before anything is connected, each with its place.
#[test]
fn settings_that_cannot_be_meant_are_refused_with_their_place() {
    for (written, line) in [
        (
            "clustr = true",
            "brokers.default.clustr: unknown key; did you mean `cluster`?",
        ),
        (
            "cluster = 3",
            "brokers.default.cluster: true or false is expected",
        ),
        (
            "hosts = [\"redis://a\"]",
            "hosts: `redis://a` is not a host; write `host` or `host:port`",
        ),
        (
            "sentinel = 5",
            "the primary's name, or a table with `master` and `hosts`",
        ),
        (
            "sentinel = \"\"",
            "sentinel: the name of the primary is missing, such as `mymaster`",
        ),
        (
            "sentinel = { hosts = [\"a\"] }",
            "brokers.default.sentinel: `master` is missing; set it",
        ),
        (
            "sentinel = { master = \"m\", host = \"a\" }",
            "unknown field `host`",
        ),
        (
            "sentinel = \"m\"\ncluster = true",
            "a cluster fails over by itself; set one of the two",
        ),
        ("uri = \"redis://a,b/3\"", "db: a cluster has the database 0 only"),
        (
            "uri = \"redis://a,b\"\nport = 7",
            "host and port: the URI has several hosts already",
        ),
        (
            "socket = \"/run/r\"\ncluster = true",
            "socket: a socket is one server's",
        ),
        (
            "tls_ca = \"ca.pem\"",
            "tls: certificates are set and TLS is not; use `rediss://`",
        ),
        (
            "tls = true\ntls_cert = \"c.pem\"",
            "tls_cert and tls_key: one needs the other; set both",
        ),
        ("pool_size = 0", "pool_size: a number from 1 is expected"),
        (
            "response_timeout = \"0s\"",
            "response_timeout: a duration above zero is expected",
        ),
        (
            "keep_alive = \"0s\"",
            "keep_alive: a duration above zero is expected",
        ),
        (
            "db = 70000",
            "db: a whole number from 0 to 65535 is expected, not 70000",
        ),
    ] {
        let mut table: toml::Table = written.parse().unwrap();
        table.insert("provider".into(), "redis".into());
        let refusal = Settings::from_table("brokers.default", table)
            .and_then(open_with)
            .err()
            .unwrap_or_else(|| panic!("{written} is taken"));
        let text = refusal.to_string();
        assert_eq!(refusal.kind(), ErrorKind::Config, "{text}");
        assert!(text.contains(line) && !text.contains('\n'), "{written}: {text}");
    }
}

#[test]
fn a_sentinel_is_a_name_or_a_table() {
    for written in [
        "sentinel = \"m\"\nhosts = [\"a\", \"b:1\"]",
        "sentinel = { master = \"m\", hosts = [\"a:26379\"], username = \"u\", password = \"p\" }",
    ] {
        let mut table: toml::Table = written.parse().unwrap();
        table.insert("provider".into(), "redis".into());
        let opened = Settings::from_table("brokers.default", table).and_then(open_with);
        assert!(opened.is_ok(), "{written}");
    }
}

/// What is no Redis is told as such, and may be one later.
#[tokio::test]
async fn what_speaks_another_protocol_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let broker = open(&url, &[("operation_retries", "0")]).unwrap();
    let error = broker.ensure_connection().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert_eq!(error.retry_class(), Retry::Exhausted, "it was worth a retry");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let server = RedisConfig::new().tls().start().unwrap();
    let own = server.certificates().unwrap();
    let folder = server.folder().join("other");
    std::fs::create_dir(&folder).unwrap();
    let other = Certificates::make(&folder).unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let open_with_ca = |ca: &str| {
        open(
            &server.url(),
            &[
                ("operation_retries", "0"),
                ("tls_ca", ca),
                ("tls_cert", &path(&own.client)),
                ("tls_key", &path(&own.client_key)),
            ],
        )
        .unwrap()
    };
    open_with_ca(&path(&own.ca)).ensure_connection().await.unwrap();
    let error = open_with_ca(&path(&other.ca))
        .ensure_connection()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
    let error = open_with_ca("/nowhere/ca.pem")
        .ensure_connection()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(
        error
            .to_string()
            .contains("tls_ca: `/nowhere/ca.pem` can't be read"),
        "{error}"
    );
}
