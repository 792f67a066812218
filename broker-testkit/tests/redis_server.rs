//! The private servers do what tests rely on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod own_process;

use std::time::{Duration, Instant};

use broker_core::ErrorKind;
use broker_testkit::servers::{RedisCluster, RedisConfig, RedisReplica, RedisServer, Reply};

#[test]
fn nothing_answered_is_lost_by_a_kill_where_writes_are_synced() {
    let server = RedisConfig::new().append_only().start().unwrap();
    for number in 0..100 {
        server.command(&["RPUSH", "list", &number.to_string()]).unwrap();
    }
    server.kill().unwrap();
    assert_eq!(
        server.command(&["PING"]).unwrap_err().kind(),
        ErrorKind::Connection
    );
    server.restart().unwrap();
    assert_eq!(server.command(&["LLEN", "list"]).unwrap().as_number(), Some(100));
}

#[test]
fn a_paused_server_answers_once_it_is_resumed() {
    let server = RedisConfig::new().start().unwrap();
    server.pause().unwrap();
    let resumer = server.clone();
    let paused_for = Duration::from_millis(200);
    let asked = Instant::now();
    let resumed = std::thread::spawn(move || {
        std::thread::sleep(paused_for);
        resumer.resume().unwrap();
    });
    server.command(&["PING"]).unwrap();
    assert!(asked.elapsed() >= paused_for);
    resumed.join().unwrap();
}

#[test]
fn password_users_and_tls_are_set() {
    let server = RedisConfig::new()
        .password("secret")
        .user("reader", "pw", "~* &* +@read")
        .tls()
        .start()
        .unwrap();
    let users = server.command(&["ACL", "LIST"]).unwrap();
    let users: Vec<_> = users.as_list().iter().map(Reply::to_text).collect();
    assert!(
        users.iter().any(|user| user.starts_with("user reader on")),
        "{users:?}"
    );
    assert!(
        users
            .iter()
            .any(|user| user.starts_with("user default on") && !user.contains("nopass"))
    );
    assert!(server.certificates().unwrap().ca.exists());
    assert!(server.url().starts_with("rediss://:secret@localhost:"));
}

#[test]
fn a_missing_program_says_what_to_install() {
    let said = own_process::said_without_program("BROKER_TEST_REDIS_SERVER", "no-such-redis");
    assert!(
        said.contains(
            "not found: the program `no-such-redis` is not there; install it (`apt-get install redis-server`)"
        ),
        "{said}"
    );
}

#[test]
fn asks_for_the_version() {
    own_process::holds_version(RedisServer::installed(), 6, 2);
}

#[test]
fn a_server_goes_with_its_process_however_that_ends() {
    own_process::leaves_nothing(
        "a_server_goes_with_its_process_however_that_ends",
        || {
            let server = RedisConfig::new().start().unwrap();
            let folder = server.folder().to_owned();
            (server, folder, String::new())
        },
        // Its socket is in its folder.
        |_, _| false,
    );
}

#[test]
fn a_cluster_is_whole_and_shares_the_slots() {
    let cluster = RedisCluster::start(&RedisConfig::new()).unwrap();
    let answers: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| node.command(&["SET", "key", "value"]))
        .collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let moved = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(
        moved
            .into_iter()
            .all(|error| error.message().starts_with("MOVED "))
    );
}

#[test]
fn the_sentinel_makes_the_replica_primary() {
    let pair = RedisReplica::start(&RedisConfig::new()).unwrap();
    let [first, second] = pair.servers();
    first.command(&["SET", "key", "value"]).unwrap();
    first.command(&["WAIT", "1", "10000"]).unwrap();
    assert_eq!(pair.primary_port().unwrap(), first.port());
    first.kill().unwrap();
    pair.wait_for_failover(first.port()).unwrap();
    assert_eq!(pair.primary_port().unwrap(), second.port());
    assert_eq!(second.command(&["GET", "key"]).unwrap().to_text(), "value");
}
