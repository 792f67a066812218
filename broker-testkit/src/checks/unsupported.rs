//! The negative twins: what is not claimed is refused, at once and without a trace.

use std::time::Duration;

use broker_core::broker::NackOptions;
use broker_core::{Broker, Capabilities, Message, Receipt, StartPosition};
use tokio::time::Instant;

use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, ensure, ensure_eq, unsupported, within};

/// Checks of what is refused prove nothing that is claimed.
pub(super) const fn without(flag: Capabilities) -> Gate {
    Gate::ANY.refuses(flag)
}

/// The same, for what needs other flags to get so far.
pub(super) const fn having(needs: Capabilities, flag: Capabilities) -> Gate {
    Gate::needs(needs).proves(Capabilities::empty()).refuses(flag)
}

/// A broker whose stream has one message, where it can be published, and a group at its beginning.
pub(super) struct Scene {
    pub(super) broker: Broker,
    pub(super) provider: &'static str,
    pub(super) stream: String,
    pub(super) group: String,
}

pub(super) async fn scene(t: &Trial) -> CheckResult<Scene> {
    let scene = Scene {
        broker: t.broker().await?,
        provider: t.harness().provider().name(),
        stream: t.stream("a"),
        group: t.group("g"),
    };
    if t.has(Capabilities::CONSUMER_GROUPS) {
        drop(
            scene
                .broker
                .subscribe(&scene.stream, &scene.group)
                .start()
                .await?,
        );
    }
    if t.has(Capabilities::PUBLISH) {
        scene
            .broker
            .publish(&scene.stream, Message::text("witness"))
            .await?;
    }
    Ok(scene)
}

/// The message is where it was: nothing was published, delivered, settled or removed.
pub(super) async fn untouched(t: &Trial, scene: &Scene) -> CheckResult {
    if !t.has(Capabilities::CONSUMER_GROUPS | Capabilities::PUBLISH) {
        return Ok(());
    }
    let found = t.read(&scene.broker, &scene.stream, &scene.group, 1).await?;
    for delivery in &found {
        ensure_eq!(
            delivery.payload().as_ref(),
            b"witness",
            "the message that was there before"
        );
        ensure_eq!(delivery.attempt(), 1, "its attempt");
    }
    t.nothing(&scene.broker, &scene.stream, &scene.group).await
}

check!(
    publish,
    "caps.unsupported.publish",
    Quick,
    without(Capabilities::PUBLISH),
    "Without PUBLISH publishing is refused."
);

async fn publish(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let (flag, batch) = (Capabilities::PUBLISH, vec![Message::text("x")]);
    unsupported(
        flag,
        s.provider,
        "publish",
        s.broker.publish(&s.stream, Message::text("x")),
    )
    .await?;
    unsupported(
        flag,
        s.provider,
        "publish_batch",
        s.broker.publish_batch(&s.stream, batch),
    )
    .await?;
    unsupported(
        flag,
        s.provider,
        "publisher",
        s.broker.publisher(&s.stream).build(),
    )
    .await?;
    untouched(t, &s).await
}

check!(
    subscribe,
    "caps.unsupported.subscribe",
    Quick,
    without(Capabilities::SUBSCRIBE),
    "Without SUBSCRIBE listening is refused."
);

async fn subscribe(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    unsupported(
        Capabilities::SUBSCRIBE,
        s.provider,
        "listen",
        s.broker.listen(&s.stream).start(),
    )
    .await
}

check!(
    groups,
    "caps.unsupported.groups",
    Quick,
    without(Capabilities::CONSUMER_GROUPS),
    "Without CONSUMER_GROUPS everything about groups is refused."
);

async fn groups(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let (flag, start) = (Capabilities::CONSUMER_GROUPS, StartPosition::Earliest);
    let (b, stream, group) = (&s.broker, &s.stream, &s.group);
    unsupported(flag, s.provider, "read", b.read(stream, group, 1)).await?;
    unsupported(flag, s.provider, "subscribe", b.subscribe(stream, group).start()).await?;
    unsupported(
        flag,
        s.provider,
        "create_group",
        b.create_group(stream, group, start),
    )
    .await?;
    unsupported(flag, s.provider, "groups", b.groups(stream)).await?;
    unsupported(
        flag,
        s.provider,
        "delete_group",
        b.delete_group(stream, group, true),
    )
    .await?;
    unsupported(
        flag,
        s.provider,
        "remove_consumer",
        b.remove_consumer(stream, group, "c"),
    )
    .await
}

check!(
    ack,
    "caps.unsupported.ack",
    Quick,
    without(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
    "Without MESSAGE_ACKNOWLEDGEMENT acking is refused, by delivery, by batch and by receipt."
);

async fn ack(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let flag = Capabilities::MESSAGE_ACKNOWLEDGEMENT;
    let receipt = Receipt::default();
    unsupported(
        flag,
        s.provider,
        "ack by receipt",
        s.broker.ack(&s.stream, &s.group, receipt),
    )
    .await?;
    if t.has(Capabilities::CONSUMER_GROUPS | Capabilities::PUBLISH) {
        let delivery = t.read(&s.broker, &s.stream, &s.group, 1).await?.pop();
        if let Some(delivery) = delivery {
            unsupported(flag, s.provider, "ack", delivery.ack()).await?;
        }
        s.broker.publish(&s.stream, Message::text("x")).await?;
        let until = Instant::now() + t.in_time();
        let mut batch = s.broker.read(&s.stream, &s.group, 1).await?;
        while batch.is_empty() {
            ensure!(Instant::now() < until, "a message did not come in time");
            tokio::task::yield_now().await;
            batch = s.broker.read(&s.stream, &s.group, 1).await?;
        }
        unsupported(flag, s.provider, "ack of a batch", batch.ack()).await?;
        return t.nothing(&s.broker, &s.stream, &s.group).await;
    }
    Ok(())
}

check!(
    ack_later,
    "caps.unsupported.ack_later",
    Quick,
    having(
        Capabilities::SIMPLE_QUEUING,
        Capabilities::MESSAGE_ACKNOWLEDGEMENT
    ),
    "Without MESSAGE_ACKNOWLEDGEMENT an ack that nobody waits for does no harm: reading goes on."
);

async fn ack_later(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    for delivery in t.read(&s.broker, &s.stream, &s.group, 1).await? {
        delivery.ack_later();
    }
    let mut subscription = s
        .broker
        .subscribe(&s.stream, t.group("h"))
        .prefetch(2)
        .start()
        .await?;
    for round in 0..5 {
        s.broker
            .publish(&s.stream, Message::text(round.to_string()))
            .await?;
        let next = within(t.in_time(), "the next message", subscription.next()).await?;
        let Some(delivery) = next.transpose()? else {
            return Err(Stop::failed("the subscription ended"));
        };
        delivery.ack_later();
    }
    s.broker.publish(&s.stream, Message::text("x")).await?;
    t.read(&s.broker, &s.stream, &s.group, 6).await?;
    Ok(())
}

check!(
    nack,
    "caps.unsupported.nack",
    Quick,
    without(Capabilities::MESSAGE_REJECTION),
    "Without MESSAGE_REJECTION nacking is refused."
);

async fn nack(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let flag = Capabilities::MESSAGE_REJECTION;
    let (receipt, options) = (Receipt::default(), NackOptions::new());
    let by_receipt = s.broker.nack(&s.stream, &s.group, receipt, options);
    unsupported(flag, s.provider, "nack by receipt", by_receipt).await?;
    untouched(t, &s).await?;
    if t.has(Capabilities::CONSUMER_GROUPS | Capabilities::PUBLISH) {
        s.broker.publish(&s.stream, Message::text("x")).await?;
        for delivery in t.read(&s.broker, &s.stream, &s.group, 1).await? {
            unsupported(flag, s.provider, "nack", delivery.nack()).await?;
            let dead = delivery.nack_with(NackOptions::new().dead_letter());
            unsupported(flag, s.provider, "nack to the dead letters", dead).await?;
        }
    }
    Ok(())
}

check!(
    blocking_read,
    "caps.unsupported.blocking_read",
    Quick,
    having(Capabilities::CONSUMER_GROUPS, Capabilities::BLOCKING_READ),
    "Without BLOCKING_READ a read that would wait is refused."
);

async fn blocking_read(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let (flag, wait) = (Capabilities::BLOCKING_READ, Duration::from_secs(30));
    unsupported(
        flag,
        s.provider,
        "read_wait",
        s.broker.read_wait(&s.stream, &s.group, 1, wait),
    )
    .await?;
    untouched(t, &s).await
}
