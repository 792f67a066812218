//! A private server and brokers on it.

use std::time::Duration;

use broker_core::config::Settings;
use broker_core::registry::Registry;
use broker_core::{Broker, Result};
use broker_redis_pubsub::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisServer};
use tokio::time::Instant;

/// How long a test waits for what must happen.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(20);

/// A private server.
pub(crate) fn server() -> RedisServer {
    RedisConfig::new().start().unwrap()
}

/// A broker at `url` with settings in the form of a URL's query, such as `mode=queue&history=0`.
pub(crate) fn open_at(url: &str, settings: &str) -> Result<Broker> {
    let mut registry = Registry::new();
    registry.add(&PROVIDER)?;
    let mut all = Settings::from_url(&format!("{url}?{settings}"))?;
    all.set("provider", "redis_pubsub", None);
    Broker::from_settings("default", all, &registry)
}

/// A broker on `server`.
pub(crate) fn open(server: &RedisServer, settings: &str) -> Broker {
    open_at(&server.url(), settings).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + EVENTUALLY;
    while !condition().await {
        assert!(Instant::now() < until, "did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Watches for `time` that `count` grows by less than `most`.
pub(crate) async fn fewer_than(most: u64, time: Duration, count: impl Fn() -> u64) {
    let before = count();
    let more = eventually("there are more", async || count() - before >= most);
    assert!(
        tokio::time::timeout(time, more).await.is_err(),
        "{most} or more within {time:?}"
    );
}

/// How often clients sent a command named in `names`, what scripts call not counted.
pub(crate) fn sent(server: &RedisServer, names: &[&str]) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).unwrap().to_text();
    let calls = |name: &&str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    names.iter().map(calls).sum()
}

/// The number that a command answers.
pub(crate) fn number(server: &RedisServer, words: &[&str]) -> i64 {
    server.command(words).unwrap().as_number().unwrap()
}
