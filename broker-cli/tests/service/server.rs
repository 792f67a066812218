//! `server`, alone and with workers.

use broker::prelude::*;
use broker_testkit::servers::RedisConfig;
use serde_json::Value;

use crate::process::{Running, free_address, get, page, run, service};

/// Publishes the numbers to 200.
fn publish(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = Broker::connect(url).await.unwrap();
        let messages = (0..200_u64).map(|number| Message::json(&number).unwrap().key(number.to_string()));
        let published = broker.publish_batch("numbers", messages.collect()).await.unwrap();
        assert!(published.all_stored());
        broker.close().await.unwrap();
    });
}

fn receipt(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    value.get("receipt").is_some().then_some(value)
}

fn of_counters(value: &Value, name: &str) -> u64 {
    let subscribers = value["receipt"]["subscribers"].as_array().unwrap();
    let counters = subscribers.iter().find(|one| one["group"] == "counters").unwrap();
    counters[name].as_u64().unwrap()
}

pub(crate) fn one_process() {
    let server = RedisConfig::new().start().unwrap();
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let (url, listen) = (server.url(), address.to_string());
    publish(&url);
    let arguments = [
        "--url",
        &url,
        "server",
        "--listen",
        &listen,
        "--progress",
        "100ms",
    ];
    let mut running = Running::start(service(folder.path(), &arguments));
    let metrics = [
        "broker_messages_total{stream=\"numbers\",group=\"counters\",as=\"handled\"} 200",
        "broker_handler_seconds_count{stream=\"numbers\",group=\"counters\"} 200",
        "broker_delivered_total{broker=\"default\"} 200",
        "broker_settled_total{broker=\"default\",as=\"acked\"} 200",
        "broker_lag{broker=\"default\",stream=\"numbers\",group=\"counters\"} 0",
        "broker_oldest_pending_seconds",
        "broker_in_flight{broker=\"default\"} 0",
    ];
    page(address, "/metrics", |_, body| {
        metrics.iter().all(|metric| body.contains(metric))
    });
    assert_eq!(get(address, "/livez").0, 200);
    assert_eq!(get(address, "/readyz").0, 200);
    assert_eq!(get(address, "/else").0, 404);
    running.line(|line| line.contains("settled 200"));
    running.terminate();
    running.line(|line| line == "settled 200");
    assert!(
        running.seen[0].contains("numbers / counters on default (redis)"),
        "{:?}",
        running.seen
    );
    assert_eq!(running.code(), Some(0));
}

pub(crate) fn workers() {
    let server = RedisConfig::new().start().unwrap();
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    // The dead worker's messages are not to be waited for long.
    let text = format!(
        "[brokers.default]\nprovider = 'redis'\nuri = '{}'\nmessage_timeout = '2s'\npartitions = 4\n",
        server.url()
    );
    std::fs::write(folder.path().join("broker.toml"), text).unwrap();
    let listen = address.to_string();
    let arguments = [
        "server",
        "--workers",
        "2",
        "--listen",
        &listen,
        "--progress",
        "200ms",
        "--format",
        "json",
    ];
    let mut command = service(folder.path(), &arguments);
    command.env("CRASH_ON", "77");
    let mut running = Running::start(command);
    page(address, "/readyz", |status, _| status == 200);
    publish_partitioned(&server.url());
    running.line(|line| line.contains("ended") && line.contains("started again"));
    // Both are there again, and what the dead one had in hand has been handled by somebody.
    page(address, "/readyz", |status, _| status == 200);
    let metrics = page(address, "/metrics", |_, body| {
        let lag = |line: &&str| line.starts_with("broker_lag") && line.contains("numbers");
        let pending = |line: &&str| line.starts_with("broker_pending") && line.contains("numbers");
        let none = |line: &str| line.ends_with(" 0");
        body.contains("worker=\"1\"")
            && body.contains("worker=\"2\"")
            && body.lines().filter(lag).all(none)
            && body.lines().filter(pending).all(none)
            && body.lines().filter(lag).count() == 1
    });
    assert_eq!(metrics.matches("# TYPE broker_lag gauge").count(), 1);
    running.terminate();
    let last = running.line(|line| receipt(line).is_some());
    let value = receipt(&last).unwrap();
    assert_eq!(value["restarts"], 1);
    // The dead worker's last numbers are those of two seconds before its end, at worst none.
    let handled = of_counters(&value, "handled");
    assert!((1..=250).contains(&handled), "{last}");
    assert_eq!(value["receipt"]["settled"], handled, "{last}");
    assert_eq!(running.code(), Some(0));
}

fn publish_partitioned(url: &str) {
    publish(&format!("{url}?partitions=4"));
}

pub(crate) fn refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[brokers.default]\nprovider = 'inline'\ncapabilities = 'SIMPLE_QUEUING'\n";
    std::fs::write(folder.path().join("broker.toml"), text).unwrap();
    let answer = run(folder.path(), &["server", "--workers", "2"]);
    let errors = String::from_utf8(answer.stderr).unwrap();
    assert!(errors.contains("numbers/counters requires"), "{errors}");
    assert_eq!(answer.status.code(), Some(2));
}
