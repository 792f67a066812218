//! `conformance` on somebody's server: it touches no name but its own, and leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::process::Command;

use broker_testkit::servers::{RedisConfig, RedisServer, Reply};

/// The user may touch these keys alone, so that the server itself holds the suite to its prefix.
const RIGHTS: &str = "~acme-tests-* ~{acme-tests-*}:* ~dlq:acme-tests-* ~broker:streams &* +@all";

fn keys(server: &RedisServer) -> BTreeSet<String> {
    let keys = server.command(&["KEYS", "*"]).unwrap();
    keys.as_list().iter().map(Reply::to_text).collect()
}

#[test]
fn the_suite_keeps_to_its_prefix_and_cleans_up() {
    let server = RedisConfig::new()
        .user("tester", "secret", RIGHTS)
        .start()
        .unwrap();
    server.command(&["XADD", "orders", "*", "data", "{}"]).unwrap();
    let before = keys(&server);
    let url = server.url().replacen("redis://", "redis://tester:secret@", 1);
    let conformance = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(["conformance", "--url", &url])
            .args(more)
            .output()
            .unwrap()
    };

    let answer = conformance(&["--prefix", "acme-tests"]);
    let said = String::from_utf8_lossy(&answer.stdout);
    assert_eq!(answer.status.code(), Some(0), "{said}");
    let mut after = keys(&server);
    // The provider's own list of what there is.
    after.remove("broker:streams");
    assert_eq!(after, before);

    let answer = conformance(&["--filter", "pubsub.round_trip"]);
    assert_eq!(
        answer.status.code(),
        Some(1),
        "another prefix is beyond the rights"
    );
    let answer = conformance(&["--prefix", "a b"]);
    assert_eq!(answer.status.code(), Some(2));
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(
        said.contains("invalid value 'a b' for '--prefix <TEXT>'"),
        "{said}"
    );
}
