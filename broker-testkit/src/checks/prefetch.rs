//! What a subscription reads ahead: bounded, and given back.

use std::collections::BTreeSet;

use broker_core::{Capabilities, Settled};

use super::partitions::{are_owned, has_one_owner};
use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const ACK: Gate = Gate::needs(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
const NACK: Gate = Gate::needs(Capabilities::ACK_NACK).proves(Capabilities::MESSAGE_REJECTION);

check!(
    limit,
    "ack.prefetch_limit",
    Quick,
    ACK,
    "A subscription never has more than its prefetch unsettled, and goes on as soon as one is settled."
);

async fn limit(t: &Trial) -> CheckResult {
    const PREFETCH: usize = 4;
    let scene = Scene::new(t, Options::new(), 20).await?;
    let subscription = scene
        .broker
        .subscribe(&scene.stream, &scene.group)
        .prefetch(PREFETCH)
        .start()
        .await?;
    let mut reader = t.reader_of(subscription);
    let mut held = Vec::new();
    for _ in 0..PREFETCH {
        held.extend(reader.next_within(t.in_time()).await?);
    }
    ensure_eq!(held.len(), PREFETCH, "deliveries in time");
    reader.nothing().await?;
    let in_flight = scene.broker.health_stats().await.counts.in_flight;
    ensure_eq!(in_flight, PREFETCH as u64, "deliveries in flight");
    let mut seen = BTreeSet::new();
    while let Some(delivery) = held.pop() {
        seen.insert(scene.number(&delivery)?);
        ensure_eq!(delivery.ack().await?, Settled::Acked, "an ack");
        if seen.len() + held.len() < 20 {
            held.extend(reader.next_within(t.in_time()).await?);
        }
    }
    ensure_eq!(seen, (0..20).collect(), "the messages");
    Ok(())
}

check!(
    given_back,
    "shutdown.prefetched_returned",
    Quick,
    NACK,
    "What was read ahead and not taken is with the others at once when a subscription ends, as attempt 1; what was taken stays."
);

async fn given_back(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 10).await?;
    let subscription = scene
        .broker
        .subscribe(&scene.stream, &scene.group)
        .prefetch(10)
        .start()
        .await?;
    let mut reader = t.reader_of(subscription);
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.extend(reader.next_within(t.in_time()).await?);
    }
    let taken_numbers = scene.numbers(&taken)?;
    ensure_eq!(taken_numbers.len(), 2, "deliveries in time");
    if has_one_owner(t) || are_owned(t, &scene.broker, &scene.stream, &scene.group).await? {
        return Err(Stop::NotClaimed(
            "partitions have owners here, and go to others with what is unsettled".to_owned(),
        ));
    }
    drop(reader);
    let other = t.broker().await?;
    let rest = t.read(&other, &scene.stream, &scene.group, 8).await?;
    ensure!(
        rest.iter().all(|delivery| delivery.attempt() == 1),
        "what was only read ahead counts as an attempt"
    );
    let mut all = scene.numbers(&rest)?;
    all.extend(&taken_numbers);
    ensure_eq!(
        all.into_iter().collect::<BTreeSet<_>>(),
        (0..10).collect::<BTreeSet<_>>(),
        "the messages taken and given back"
    );
    t.nothing(&other, &scene.stream, &scene.group).await?;
    scene.ack_all(rest).await?;
    scene.ack_all(taken).await
}

check!(
    close_settles,
    "shutdown.acks_sent",
    Quick,
    ACK,
    "Acks that wait for company reach the broker before it closes, and before a subscription has left its group."
);

async fn close_settles(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, super::scene::short_lease(t), 40).await?;
    let subscribe = || {
        scene
            .broker
            .subscribe(&scene.stream, &scene.group)
            .prefetch(10)
            .start()
    };
    let mut reader = t.reader_of(subscribe().await?);
    reader.take(20).await?;
    reader.into_inner().close().await?;
    let mut reader = t.reader_of(subscribe().await?);
    reader.take(20).await?;
    let other = t.broker().await?;
    scene.broker.close().await?;
    match reader.next_within(t.in_time()).await {
        Err(Stop::Failed(_)) => {}
        other => ensure!(false, "a subscription of a closed broker answered {other:?}"),
    }
    t.nothing_within(t.timing().lease + t.quiet(), &other, &scene.stream, &scene.group)
        .await
}
