//! A private server and brokers on it.

use std::time::Duration;

use broker_core::broker::Delivery;
use broker_core::config::Settings;
use broker_core::registry::Registry;
use broker_core::{Broker, Message};
use broker_redis_streams::PROVIDER;
use broker_testkit::servers::{RedisConfig, RedisServer, Reply};
use tokio::time::Instant;

/// How long a test waits for what must happen.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(20);

/// A private server.
pub(crate) fn server() -> RedisServer {
    RedisConfig::new().start().unwrap()
}

/// A broker on `server` with settings in the form of a URL's query, such as `partitions=4&consumer=a`.
pub(crate) fn open(server: &RedisServer, settings: &str) -> Broker {
    open_at(&server.url(), settings)
}

/// As [`open`], at another address.
pub(crate) fn open_at(url: &str, settings: &str) -> Broker {
    let mut registry = Registry::new();
    registry.add(&PROVIDER).unwrap();
    let mut all = Settings::from_url(&format!("{url}?{settings}")).unwrap();
    all.set("provider", "redis", None);
    Broker::from_settings("default", all, &registry).unwrap()
}

/// Publishes the numbers of `range` as text, in one batch.
pub(crate) async fn publish(broker: &Broker, stream: &str, range: std::ops::Range<usize>) {
    let messages = range.map(|number| Message::text(number.to_string())).collect();
    assert!(broker.publish_batch(stream, messages).await.unwrap().all_stored());
}

/// Reads until `count` deliveries came.
pub(crate) async fn take(broker: &Broker, stream: &str, group: &str, count: usize) -> Vec<Delivery> {
    let (mut taken, until) = (Vec::new(), Instant::now() + EVENTUALLY);
    while taken.len() < count {
        assert!(Instant::now() < until, "{} of {count} came in time", taken.len());
        let wait = Duration::from_millis(500);
        taken.extend(
            broker
                .read_wait(stream, group, count - taken.len(), wait)
                .await
                .unwrap(),
        );
    }
    taken
}

/// The text of a delivery.
pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.payload().to_vec()).unwrap()
}

/// The texts of deliveries.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
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

/// The number that a command answers.
pub(crate) fn number(server: &RedisServer, words: &[&str]) -> i64 {
    server.command(words).unwrap().as_number().unwrap()
}

/// The text that a command answers; the parts of a list are separated by blanks.
pub(crate) fn asked(server: &RedisServer, words: &[&str]) -> String {
    flat(&server.command(words).unwrap())
}

fn flat(reply: &Reply) -> String {
    match reply.as_list() {
        [] => reply.to_text(),
        parts => parts.iter().map(flat).collect::<Vec<_>>().join(" "),
    }
}

/// How often clients sent a command named in `names`, what scripts call not counted.
pub(crate) fn sent(server: &RedisServer, names: &[&str]) -> u64 {
    let stats = asked(server, &["INFO", "commandstats"]);
    let calls = |name: &&str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    names.iter().map(calls).sum()
}
