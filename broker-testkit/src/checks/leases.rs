//! What a lease holds, and what its end changes.

use broker_core::broker::NackOptions;
use broker_core::{Capabilities, ErrorKind, Settled};

use super::ack::ensure_refused;
use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, ensure, ensure_eq};

const ACK: Gate = Gate::needs(Capabilities::MESSAGE_ACKNOWLEDGEMENT);

check!(
    drop_unsettled,
    "ack.drop_unsettled",
    Quick,
    ACK,
    "Dropping a delivery neither acks its message nor loses it."
);

async fn drop_unsettled(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let subscription = scene
        .broker
        .subscribe(&scene.stream, &scene.group)
        .lease(t.timing().lease)
        .start()
        .await?;
    let mut reader = t.reader_of(subscription);
    for attempt in 1..=2 {
        let delivery = reader.next_within(t.in_time()).await?;
        let seen = delivery.as_ref().map(|delivery| delivery.attempt());
        ensure_eq!(seen, Some(attempt), "the attempt after {} drops", attempt - 1);
    }
    Ok(())
}

check!(
    late_settle,
    "ack.late_settle",
    Quick,
    ACK,
    "A settlement after the lease has ended never touches the delivery that followed."
);

async fn late_settle(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 1).await?;
    let [late] = scene.take().await?;
    let other = t.broker().await?;
    let [current] = scene.take_by(&other).await?;
    ensure_eq!(current.attempt(), 2, "the attempt after the lease");
    ensure_refused(late.ack().await)?;
    if t.has(Capabilities::MESSAGE_REJECTION) {
        ensure_refused(late.nack_with(NackOptions::new().discard()).await)?;
        ensure_refused(late.nack().await)?;
    }
    ensure_eq!(current.ack().await?, Settled::Acked, "the later delivery's ack");
    scene.nothing().await
}

check!(
    late_settle_own,
    "ack.late_settle_own",
    Quick,
    ACK,
    "A consumer's late ack does not touch its own later delivery of the same message."
);

async fn late_settle_own(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 1).await?;
    let [late] = scene.take().await?;
    let [current] = scene.take().await?;
    ensure_eq!(current.attempt(), 2, "the attempt after the lease");
    ensure_refused(late.ack().await)?;
    drop(current);
    let [third] = scene.take().await?;
    ensure_eq!(third.attempt(), 3, "the attempt after a late ack");
    ensure_eq!(third.ack().await?, Settled::Acked, "the current ack");
    Ok(())
}

check!(
    held,
    "ack.held_within_lease",
    Quick,
    ACK,
    "What a consumer holds is handed to nobody else before its lease ends."
);

async fn held(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let held = scene.read(2).await?;
    let other = t.broker().await?;
    t.nothing(&other, &scene.stream, &scene.group).await?;
    scene.nothing().await?;
    scene.ack_all(held).await
}

check!(
    extend_lease,
    "ack.extend_lease",
    Quick,
    Gate::needs(Capabilities::LEASE_EXTENSION),
    "A delivery whose lease is extended comes to nobody else meanwhile, and can be acked after the first lease."
);

async fn extend_lease(t: &Trial) -> CheckResult {
    let lease = t.timing().lease;
    let scene = Scene::new(t, short_lease(t), 1).await?;
    let [delivery] = scene.take().await?;
    delivery.extend(lease * 3).await?;
    scene.nothing_within(lease + lease / 2).await?;
    ensure_eq!(
        delivery.ack().await?,
        Settled::Acked,
        "the ack after the first lease"
    );
    scene.nothing().await
}

check!(
    extend_then_end,
    "ack.extended_lease_ends",
    Quick,
    Gate::needs(Capabilities::LEASE_EXTENSION),
    "An extended lease ends too, and one that has ended can't be extended."
);

async fn extend_then_end(t: &Trial) -> CheckResult {
    let lease = t.timing().lease;
    let scene = Scene::new(t, short_lease(t), 1).await?;
    let [delivery] = scene.take().await?;
    let since = tokio::time::Instant::now();
    delivery.extend(lease + lease / 2).await?;
    let [again] = scene.take().await?;
    ensure!(
        since.elapsed() >= lease + lease / 2,
        "the extended lease ended after {:?}",
        since.elapsed()
    );
    ensure_eq!(again.attempt(), 2, "the attempt after the extended lease");
    match delivery.extend(lease).await {
        Ok(()) => Err(crate::Stop::failed("a lease that had ended was extended")),
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::Stale, "the error");
            ensure_eq!(again.ack().await?, Settled::Acked, "the later delivery's ack");
            Ok(())
        }
    }
}
