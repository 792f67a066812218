//! How the broker says it is, and what it counts.

use std::time::Duration;

use broker_core::broker::NackOptions;
use broker_core::{Capabilities, ErrorKind, HealthStatus, Message};

use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Options, Part, Stop, Trial, ensure, ensure_eq};

check!(
    ping,
    "health.ping",
    Quick,
    Gate::ANY,
    "A ping is answered with how long it took, and refused after closing; health tells both and never fails."
);

async fn ping(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    let took = broker.ping().await?;
    ensure!(took < t.at_most(Duration::from_secs(2)), "a ping took {took:?}");
    let health = broker.health_stats().await;
    ensure!(
        health.connected && health.ping.is_some(),
        "health is {health:?} after a ping"
    );
    ensure!(
        health.last_ping.is_some(),
        "health does not tell when the last ping was answered"
    );
    broker.close().await?;
    match broker.ping().await {
        Ok(took) => ensure!(false, "a closed broker answered a ping in {took:?}"),
        Err(error) => ensure_eq!(error.kind(), ErrorKind::Closed, "a ping after closing"),
    }
    let health = broker.health_stats().await;
    ensure_eq!(
        health.status,
        HealthStatus::Unhealthy,
        "the health of a closed broker"
    );
    ensure!(!health.connected, "a closed broker says it is connected");
    Ok(())
}

check!(
    down,
    "health.down",
    Full,
    Gate::ANY.part(Part::Server),
    "While the server is down a ping fails and health says unhealthy, both within the ping timeout; then all is well again."
);

async fn down(t: &Trial) -> CheckResult {
    let Some(server) = t.harness().server() else {
        return Err(Stop::NotExercised(Part::Server.to_string()));
    };
    let broker = t.broker_with(Options::new().set("ping_timeout", "1s")).await?;
    let limit = t.at_most(Duration::from_secs(2));
    server.stop().await?;
    let pinged = tokio::time::timeout(limit, broker.ping()).await;
    let health = tokio::time::timeout(limit, broker.health_stats()).await;
    server.start().await?;
    ensure!(
        matches!(pinged, Ok(Err(_))),
        "a ping without a server answered {pinged:?}"
    );
    match health {
        Ok(health) => ensure_eq!(
            health.status,
            HealthStatus::Unhealthy,
            "the health without a server"
        ),
        Err(_) => ensure!(false, "health took longer than {limit:?} without a server"),
    }
    t.eventually("healthy again", || async {
        Ok(broker.health_stats().await.status == HealthStatus::Healthy)
    })
    .await
}

check!(
    shape,
    "health.shape",
    Quick,
    Gate::ANY,
    "Health has a status, whether it is connected, the provider and the capabilities, and no secret."
);

async fn shape(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    let health = broker.health_stats().await;
    ensure_eq!(
        health.status,
        HealthStatus::Healthy,
        "the status ({:?})",
        health.details
    );
    let detail = |name: &str| {
        let found = health.details.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    ensure_eq!(
        detail("provider").as_deref(),
        Some(broker.provider()),
        "the detail `provider`"
    );
    ensure_eq!(
        detail("capabilities"),
        Some(broker.capabilities().to_string()),
        "the detail `capabilities`"
    );
    for (name, value) in &health.details {
        let names_one = ["password", "secret", "token"]
            .iter()
            .any(|word| name.to_lowercase().contains(word));
        // In a URL, what stands before `@` and after `:` is a password.
        let has_one = value
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
            .is_some_and(|(user, _)| user.contains(':') && !user.ends_with(":***"));
        ensure!(!names_one && !has_one, "the detail `{name}` tells a secret");
    }
    Ok(())
}

check!(
    counts,
    "health.counts",
    Quick,
    Gate::needs(Capabilities::ACK_NACK).proves(Capabilities::MESSAGE_REJECTION),
    "Health counts what was published, delivered, redelivered, acked, nacked, discarded, dead and in flight, exactly."
);

async fn counts(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().max_payload(1_000), 10).await?;
    let now = || async { scene.broker.health_stats().await.counts };
    ensure_eq!(now().await.published, 10, "published");
    ensure_eq!(now().await.delivered, 0, "delivered before reading");
    let mut held = scene.read(10).await?;
    ensure_eq!(now().await.delivered, 10, "delivered");
    ensure_eq!(now().await.in_flight, 10, "in flight");
    scene.ack_all(held.split_off(6)).await?;
    ensure_eq!(
        (now().await.acked, now().await.in_flight),
        (4, 6),
        "acked and in flight"
    );
    let fates = [
        NackOptions::new(),
        NackOptions::new(),
        NackOptions::new().discard(),
    ];
    for (delivery, fate) in held.drain(..3).zip(fates) {
        delivery.nack_with(fate).await?;
    }
    ensure_eq!(
        (now().await.nacked, now().await.discarded),
        (2, 1),
        "nacked and discarded"
    );
    ensure_eq!(now().await.in_flight, 3, "in flight after nacks");
    if t.has(Capabilities::DEAD_LETTER_QUEUE) {
        for delivery in held.drain(..1) {
            delivery.nack_with(NackOptions::new().dead_letter()).await?;
        }
        ensure_eq!(now().await.dead, 1, "dead");
    }
    drop(held);
    ensure_eq!(now().await.in_flight, 0, "in flight after dropping the rest");
    scene.ack_all(scene.read(2).await?).await?;
    ensure_eq!(
        (now().await.delivered, now().await.redelivered),
        (12, 2),
        "delivered and redelivered"
    );
    ensure_eq!(now().await.publish_failed, 0, "publish_failed");
    let oversize = Message::new(vec![0; 1_001]);
    ensure!(
        scene.broker.publish(&scene.stream, oversize).await.is_err(),
        "an oversize message was stored"
    );
    ensure_eq!(
        (now().await.published, now().await.publish_failed),
        (10, 1),
        "published and publish_failed"
    );
    Ok(())
}

check!(
    uptime,
    "health.uptime",
    Quick,
    Gate::ANY,
    "Uptime grows from when the broker was opened."
);

async fn uptime(t: &Trial) -> CheckResult {
    let before = tokio::time::Instant::now();
    let broker = t.broker().await?;
    let first = broker.health_stats().await.uptime;
    ensure!(first <= before.elapsed(), "a fresh broker is up for {first:?}");
    t.eventually("uptime grows", || async {
        Ok(broker.health_stats().await.uptime > first)
    })
    .await?;
    let younger = t.broker().await?;
    let uptime = younger.health_stats().await.uptime;
    ensure!(
        uptime < broker.health_stats().await.uptime,
        "a younger broker is up for {uptime:?}, longer than an older one"
    );
    Ok(())
}

check!(
    lag,
    "health.lag",
    Quick,
    Gate::needs(Capabilities::CONSUMER_GROUPS),
    "A group's lag is what was published and never handed out to it, and pending what it holds; both end at zero."
);

async fn lag(t: &Trial) -> CheckResult {
    use crate::OrNotClaimed as _;
    let scene = Scene::new(t, Options::new(), 10).await?;
    let shown = || async {
        let groups = scene.broker.groups(&scene.stream).await?;
        let group = groups
            .into_iter()
            .find(|group| group.group.as_str() == scene.group);
        Ok(group.map(|group| (group.lag, group.pending, group.oldest_pending)))
    };
    scene
        .broker
        .groups(&scene.stream)
        .await
        .or_not_claimed("view of its groups")?;
    let is = |lag: u64, pending: u64| {
        move |seen: Option<(u64, u64, Option<Duration>)>| {
            seen.is_some_and(|(seen_lag, seen_pending, _)| (seen_lag, seen_pending) == (lag, pending))
        }
    };
    t.eventually("lag 10, pending 0", || async { shown().await.map(is(10, 0)) })
        .await?;
    let held = scene.read(4).await?;
    if !t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
        return t
            .eventually("lag 6", || async {
                Ok(shown().await?.is_some_and(|(lag, ..)| lag == 6))
            })
            .await;
    }
    t.eventually("lag 6, pending 4", || async { shown().await.map(is(6, 4)) })
        .await?;
    let age = || async { Ok::<_, Stop>(shown().await?.and_then(|(.., oldest)| oldest)) };
    let first = age().await?;
    t.eventually("the oldest pending delivery ages", || async {
        Ok(age().await? > first)
    })
    .await?;
    scene.ack_all(held).await?;
    t.eventually("lag 6, pending 0", || async { shown().await.map(is(6, 0)) })
        .await?;
    scene.ack_all(scene.read(6).await?).await?;
    t.eventually("lag 0, pending 0", || async { shown().await.map(is(0, 0)) })
        .await?;
    let drained = scene
        .broker
        .wait_until_drained(&scene.stream, &scene.group, t.in_time())
        .await?;
    ensure!(drained, "a group with nothing to do is not drained");
    Ok(())
}
