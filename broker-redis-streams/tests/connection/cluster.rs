//! A cluster whose slots and nodes come and go.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use broker_core::{ErrorKind, Retry};
use broker_testkit::servers::{RedisCluster, RedisConfig, RedisServer};

use crate::scene::{EVENTUALLY, eventually, open, round_trip, text};

const RETRY: [(&str, &str); 2] = [("operation_retries", "30"), ("circuit_breaker_failures", "0")];

/// The node that holds the stream's slot, by its number.
fn owner(cluster: &RedisCluster, stream: &str) -> usize {
    let until = Instant::now() + EVENTUALLY;
    let held = |node: &RedisServer| loop {
        match node.command(&["EXISTS", stream]) {
            Ok(_) => return true,
            // On a busy machine the nodes lose sight of each other for a moment.
            Err(error) if error.to_string().contains("CLUSTERDOWN") && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return !error.to_string().contains("MOVED"),
        }
    };
    cluster.nodes().iter().position(held).unwrap()
}

fn id(node: &RedisServer) -> String {
    node.command(&["CLUSTER", "MYID"]).unwrap().to_text()
}

/// Moves the stream's slot to another node, key by key.
fn move_slot(cluster: &RedisCluster, stream: &str) {
    let slot = cluster.nodes()[0]
        .command(&["CLUSTER", "KEYSLOT", stream])
        .unwrap()
        .to_text();
    let from = owner(cluster, stream);
    let (from, to) = (&cluster.nodes()[from], &cluster.nodes()[(from + 1) % 3]);
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)])
        .unwrap();
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)])
        .unwrap();
    loop {
        let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).unwrap();
        if keys.as_list().is_empty() {
            break;
        }
        for key in keys.as_list() {
            let port = to.port().to_string();
            from.command(&["MIGRATE", "127.0.0.1", &port, &key.to_text(), "0", "5000"])
                .unwrap();
        }
    }
    for node in [to, from].into_iter().chain(cluster.nodes()) {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)])
            .unwrap();
    }
}

/// Nothing is lost and nothing changes its order while the stream's slot wanders over all nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_and_reorders_nothing() {
    const MESSAGES: usize = 400;
    let cluster = RedisCluster::start(&RedisConfig::new()).unwrap();
    let broker = open(&cluster.url(), &RETRY).unwrap();
    let publisher = open(&cluster.url(), &RETRY).unwrap();
    round_trip(&broker, "orders").await.unwrap();
    let publishing = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            publisher.publish("orders", text(number)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let moving = tokio::task::spawn_blocking({
        let cluster = cluster.clone();
        move || (0..3).for_each(|_| move_slot(&cluster, "orders"))
    });
    let mut seen = Vec::new();
    eventually("all come", async || {
        let wait = Duration::from_millis(500);
        let Ok(batch) = broker.read_wait("orders", "billing", 20, wait).await else {
            return false;
        };
        for delivery in batch {
            let number: usize = String::from_utf8_lossy(delivery.payload()).parse().unwrap();
            // One that is given out again by a move of its slot was seen before.
            if !seen.contains(&number) {
                seen.push(number);
            }
            let _ = delivery.ack().await;
        }
        seen.len() == MESSAGES
    })
    .await;
    assert!(seen.is_sorted(), "{seen:?}");
    publishing.await.unwrap();
    moving.await.unwrap();
}

/// A node that is down stops its own streams only, until it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_down_stops_only_its_streams() {
    let config = RedisConfig::new()
        .append_only()
        .line("cluster-require-full-coverage no");
    let cluster = RedisCluster::start(&config).unwrap();
    let quick = [("operation_retries", "0"), ("circuit_breaker_failures", "0")];
    let broker = open(&cluster.url(), &quick).unwrap();
    let mut nodes = HashSet::new();
    let streams: Vec<_> = (0..50)
        .map(|number| format!("stream-{number}"))
        .filter(|stream| nodes.insert(owner(&cluster, stream)))
        .collect();
    assert_eq!(streams.len(), 3, "each node has a stream");
    for stream in &streams {
        round_trip(&broker, stream).await.unwrap();
    }
    let down = owner(&cluster, &streams[0]);
    cluster.nodes()[down].kill().unwrap();
    let error = broker.publish(streams[0].as_str(), text(1)).await.unwrap_err();
    assert_ne!(error.retry_class(), Retry::Never, "{error}");
    for stream in &streams[1..] {
        eventually("the others go on", async || {
            round_trip(&broker, stream).await.is_ok()
        })
        .await;
    }
    cluster.nodes()[down].restart().unwrap();
    eventually("its stream goes on", async || {
        round_trip(&broker, &streams[0]).await.is_ok()
    })
    .await;
}

/// All nodes talk TLS, to clients with a certificate only: streams of each of them are served.
#[tokio::test]
async fn a_cluster_is_spoken_to_by_mutual_tls() {
    let config = RedisConfig::new().tls().line("tls-auth-clients yes");
    let cluster = RedisCluster::start(&config).unwrap();
    let own = cluster.nodes()[0].certificates().unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (ca, cert, key) = (path(&own.ca), path(&own.client), path(&own.client_key));
    let trusted = [("tls_ca", &*ca), ("tls_cert", &*cert), ("tls_key", &*key)];
    for url in [cluster.url(), cluster.nodes()[0].url()] {
        let broker = open(&url, &[&trusted[..], &[("cluster", "true")]].concat()).unwrap();
        let mut owners = HashSet::new();
        for number in 0..20 {
            let stream = format!("stream-{number}");
            round_trip(&broker, &stream).await.unwrap();
            owners.insert(owner(&cluster, &stream));
        }
        assert_eq!(owners.len(), 3, "each node has a stream");
    }
    let error = open(&cluster.url(), &[("tls_ca", &ca)]).unwrap();
    let error = error.publish("orders", text(1)).await.unwrap_err();
    assert_ne!(error.retry_class(), Retry::Unknown, "{error}");
}

/// One node leads to the others; without the setting, the first stream of another node says what is missing.
#[tokio::test]
async fn one_node_of_a_cluster_is_enough() {
    let cluster = RedisCluster::start(&RedisConfig::new()).unwrap();
    let one = cluster.nodes()[0].url();
    let broker = open(&one, &[("cluster", "true")]).unwrap();
    let without = open(&one, &[]).unwrap();
    let mut told = None;
    for number in 0..20 {
        let stream = format!("stream-{number}");
        round_trip(&broker, &stream).await.unwrap();
        told = told.or(without.publish(stream.as_str(), text(1)).await.err());
    }
    let told = told.unwrap();
    assert_eq!(told.kind(), ErrorKind::Config, "{told}");
    assert!(told.to_string().contains("set `cluster = true`"), "{told}");
    let mut listed = broker.streams().await.unwrap();
    listed.retain(|stream| stream.as_str().starts_with("stream-"));
    assert_eq!(listed.len(), 20, "the streams of all nodes are listed");
}

#[tokio::test]
async fn one_server_is_no_cluster() {
    let server = RedisConfig::new().start().unwrap();
    let broker = open(&server.url(), &[("cluster", "true")]).unwrap();
    let error = broker.ensure_connection().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(
        error.to_string().contains("the server is not part of a cluster"),
        "{error}"
    );
}
