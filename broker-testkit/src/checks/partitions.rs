//! Which partition a key belongs to, and who owns it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Broker, Capabilities, Message, PartitionInfo, Settled, partition_for_key};
use tokio::time::Instant;

use super::ack::ensure_refused;
use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq, not_exercised};

const PARTITIONS: Gate = Gate::needs(Capabilities::STREAM_PARTITIONING.union(Capabilities::CONSUMER_GROUPS))
    .proves(Capabilities::STREAM_PARTITIONING);
const SETTLED: Gate =
    Gate::needs(Capabilities::STREAM_PARTITIONING.union(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
        .proves(Capabilities::STREAM_PARTITIONING);

/// Whether partitions have owners here, so that a group keeps a position rather than a state per message.
pub(super) async fn are_owned(t: &Trial, broker: &Broker, stream: &str, group: &str) -> CheckResult<bool> {
    if !t.has(Capabilities::STREAM_PARTITIONING) {
        return Ok(false);
    }
    let partitions = broker.partitions(stream, group).await?;
    Ok(partitions.iter().any(|partition| partition.owner.is_some()))
}

/// Whether all of a group's messages go to one process at a time, although there are no partitions to own.
pub(super) fn has_one_owner(t: &Trial) -> bool {
    !t.has(Capabilities::STREAM_PARTITIONING) && t.harness().limits().partitions == Some(1)
}

check!(
    key_stable,
    "part.key_stable",
    Quick,
    PARTITIONS,
    "A key stays in its partition, over batches, restarts and instances."
);

async fn key_stable(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let keys: Vec<_> = (0..40).map(|key| format!("key-{key}")).collect();
    let mut known = BTreeMap::new();
    for _ in 0..3 {
        let broker = t.broker().await?;
        scene
            .ledger
            .publish_many(&broker, &scene.stream, 0, &keys, keys.len())
            .await?;
        for delivery in scene.read(keys.len()).await? {
            let key = delivery.message_key().cloned().unwrap_or_default();
            let partition = delivery.receipt().partition;
            let first = *known.entry(key.clone()).or_insert(partition);
            ensure_eq!(partition, first, "the partition of key {key:?}");
            settle(t, &delivery).await?;
        }
    }
    let count = scene.broker.partition_count(&scene.stream).await?;
    ensure!(
        known.values().all(|partition| *partition < count),
        "a message came from a partition beyond {count}"
    );
    let murmur2 = known
        .iter()
        .all(|(key, partition)| partition_for_key(key, count) == *partition);
    t.note(format!("{count} partitions, murmur2: {murmur2}"));
    Ok(())
}

check!(
    spread,
    "part.spread",
    Quick,
    PARTITIONS,
    "A thousand keys reach every partition, and so do messages without a key."
);

async fn spread(t: &Trial) -> CheckResult {
    const COUNT: usize = 1_000;
    let scene = Scene::new(t, Options::new(), 0).await?;
    let keys: Vec<_> = (0..COUNT).map(|key| format!("key-{key}")).collect();
    for keys in [&keys[..], &[]] {
        for _ in 0..COUNT / 100 {
            scene
                .ledger
                .publish_many(&scene.broker, &scene.stream, 0, keys, 100)
                .await?;
        }
        let count = scene.broker.partition_count(&scene.stream).await?;
        if count < 2 && t.harness().limits().partitions == Some(1) {
            return Err(Stop::NotClaimed("streams have one partition here".to_owned()));
        }
        if count < 2 {
            not_exercised!("the harness' streams have {count} partition");
        }
        let mut reached = BTreeSet::new();
        for delivery in scene.read(COUNT).await? {
            reached.insert(delivery.receipt().partition);
            settle(t, &delivery).await?;
        }
        ensure_eq!(
            reached,
            (0..count).collect::<BTreeSet<_>>(),
            "the partitions reached {}",
            if keys.is_empty() {
                "without a key"
            } else {
                "by keys"
            }
        );
    }
    Ok(())
}

check!(
    assignments,
    "part.assignments",
    Quick,
    PARTITIONS,
    "Partitions are shown with their numbers and with the lag of the group."
);

async fn assignments(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 10).await?;
    let count = scene.broker.partition_count(&scene.stream).await?;
    let shown = || scene.broker.partitions(&scene.stream, &scene.group);
    let partitions = shown().await?;
    let numbers: Vec<_> = partitions.iter().map(|partition| partition.partition).collect();
    ensure_eq!(numbers, (0..count).collect::<Vec<_>>(), "the partitions");
    for delivery in scene.read(10).await? {
        settle(t, &delivery).await?;
    }
    t.eventually("no lag in any partition once all was handed out", || async {
        Ok(shown().await?.iter().all(|partition| partition.lag == 0))
    })
    .await?;
    let broker = t.broker().await?;
    broker.publish(&scene.stream, Message::text("x").key("k")).await?;
    t.eventually("a lag of one in one partition after a publish", || async {
        Ok(lag(&shown().await?) == 1
            || scene
                .broker
                .groups(&scene.stream)
                .await?
                .iter()
                .all(|g| g.lag == 0))
    })
    .await
}

fn lag(partitions: &[PartitionInfo]) -> u64 {
    partitions.iter().map(|partition| partition.lag).sum()
}

check!(
    rebalance_no_loss,
    "part.rebalance_no_loss",
    Full,
    SETTLED,
    "While members join and leave, no message is lost, and only unsettled ones come again."
);

async fn rebalance_no_loss(t: &Trial) -> CheckResult {
    const COUNT: usize = 5_000;
    let scene = Scene::new(t, Options::new(), 0).await?;
    require_owners(&scene).await?;
    let keys: Vec<_> = (0..64).map(|key| format!("key-{key}")).collect();
    for _ in 0..COUNT / 100 {
        scene
            .ledger
            .publish_many(&scene.broker, &scene.stream, 0, &keys, 100)
            .await?;
    }
    let mut acked = BTreeSet::new();
    let mut guest = None;
    let until = Instant::now() + t.in_time() * 4;
    while acked.len() < COUNT {
        ensure!(
            Instant::now() < until,
            "{} of {COUNT} messages were acked in time",
            acked.len()
        );
        // The guest comes and goes with each tenth of the way.
        let odd = (acked.len() * 10 / COUNT) % 2 == 1;
        match guest.take() {
            None if odd => guest = Some(t.broker().await?),
            Some(leaving) if !odd => leaving.close().await?,
            stays => guest = stays,
        }
        for member in std::iter::once(&scene.broker).chain(&guest) {
            for delivery in member.read(&scene.stream, &scene.group, 50).await? {
                let number = scene.number(&delivery)?;
                if acked.contains(&number) {
                    return Err(Stop::failed(format!("message {number} was acked and came again")));
                }
                if delivery.ack().await? == Settled::Acked {
                    acked.insert(number);
                }
            }
        }
    }
    Ok(())
}

check!(
    revoked_commit_refused,
    "part.revoked_commit_refused",
    Full,
    SETTLED,
    "An ack after the partition was taken away moves the group neither back nor forth."
);

async fn revoked_commit_refused(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    require_owners(&scene).await?;
    let [held] = scene.take().await?;
    let partition = held.receipt().partition;
    let shown = scene.broker.partitions(&scene.stream, &scene.group).await?;
    let owner = shown
        .into_iter()
        .find(|info| info.partition == partition)
        .and_then(|info| info.owner)
        .ok_or_else(|| {
            Stop::failed(format!(
                "partition {partition}, which was read from, has no owner"
            ))
        })?;
    let other = t.broker().await?;
    scene
        .broker
        .remove_consumer(&scene.stream, &scene.group, owner.as_str())
        .await?;
    let [again] = scene.take_by(&other).await?;
    ensure_refused(held.ack().await)?;
    ensure_eq!(
        scene.number(&again)?,
        0,
        "the message after the partition was taken away"
    );
    ensure_eq!(again.ack().await?, Settled::Acked, "the new owner's ack");
    Ok(())
}

check!(
    lease_fencing,
    "part.lease_fencing",
    Full,
    SETTLED,
    "A partition has one owner at a time, and its generation only rises."
);

async fn lease_fencing(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 1).await?;
    require_owners(&scene).await?;
    let mut known = BTreeMap::new();
    let brokers = [Arc::new(t.broker().await?), Arc::new(t.broker().await?)];
    let until = Instant::now() + t.at_most(Duration::from_secs(5));
    while Instant::now() < until {
        for broker in &brokers {
            broker.read(&scene.stream, &scene.group, 1).await?;
        }
        let shown = scene.broker.partitions(&scene.stream, &scene.group).await?;
        let numbers: BTreeSet<_> = shown.iter().map(|partition| partition.partition).collect();
        ensure_eq!(numbers.len(), shown.len(), "partitions shown once each");
        for partition in shown {
            let highest = known.entry(partition.partition).or_insert(partition.generation);
            ensure!(
                partition.generation >= *highest,
                "the generation of partition {} fell from {highest} to {}",
                partition.partition,
                partition.generation
            );
            *highest = partition.generation;
        }
    }
    Ok(())
}

async fn require_owners(scene: &Scene<'_>) -> CheckResult {
    if are_owned(scene.t, &scene.broker, &scene.stream, &scene.group).await? {
        return Ok(());
    }
    Err(Stop::NotClaimed("partitions have no owners here".to_owned()))
}

async fn settle(t: &Trial, delivery: &broker_core::broker::Delivery) -> CheckResult {
    if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
        ensure_eq!(delivery.ack().await?, Settled::Acked, "an ack");
    }
    Ok(())
}
