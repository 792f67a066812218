//! Groups as an operator sees them.

use std::time::Duration;

use broker_core::{Broker, Capabilities, ErrorKind, GroupInfo, Message, StartPosition};

use crate::check::check;
use crate::{CheckResult, Gate, OrNotClaimed, Stop, Trial, ensure, ensure_eq, refused};

const GROUPS: Gate = Gate::needs(Capabilities::SIMPLE_QUEUING).proves(Capabilities::CONSUMER_GROUPS);
const SETTLED: Gate = Gate::needs(Capabilities::SIMPLE_QUEUING.union(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    .proves(Capabilities::CONSUMER_GROUPS);

async fn info(broker: &Broker, stream: &str, group: &str) -> CheckResult<GroupInfo> {
    let groups = broker.groups(stream).await.or_not_claimed("family `groups`")?;
    groups
        .into_iter()
        .find(|info| info.group.as_str() == group)
        .ok_or_else(|| Stop::failed(format!("the group `{group}` is not listed")))
}

check!(
    create,
    "groups.create",
    Quick,
    GROUPS,
    "Making a group answers whether it is new; making it again changes nothing, least of all its position."
);

async fn create(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    broker.publish(&stream, Message::text("old")).await?;
    let made = broker.create_group(&stream, &group, StartPosition::Latest).await;
    ensure!(
        made.or_not_claimed("family `groups`")?,
        "a new group was there already"
    );
    broker.publish(&stream, Message::text("new")).await?;
    ensure!(
        !broker
            .create_group(&stream, &group, StartPosition::Earliest)
            .await?,
        "made twice"
    );
    for delivery in t.read(&broker, &stream, &group, 1).await? {
        ensure_eq!(
            delivery.payload().as_ref(),
            b"new",
            "what a group at the latest gets first"
        );
    }
    t.nothing(&broker, &stream, &group).await
}

check!(
    group_info,
    "groups.info",
    Quick,
    SETTLED,
    "Members, pending and lag of a group are what was done to it."
);

async fn group_info(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    drop(info(&broker, &stream, &group).await?);
    for number in 0..10 {
        broker
            .publish(&stream, Message::text(number.to_string()).key("k"))
            .await?;
    }
    let before = info(&broker, &stream, &group).await?;
    ensure_eq!(
        (before.pending, before.lag),
        (0, 10),
        "pending and lag before reading"
    );
    ensure!(
        before.oldest_pending.is_none(),
        "the oldest of nothing is {:?}",
        before.oldest_pending
    );
    let held = t.read(&broker, &stream, &group, 4).await?;
    let reading = info(&broker, &stream, &group).await?;
    ensure_eq!(
        (reading.pending, reading.lag),
        (4, 6),
        "pending and lag after reading four"
    );
    let held_by = |info: &GroupInfo| info.members.iter().map(|member| member.pending).sum::<u64>();
    ensure_eq!(held_by(&reading), 4, "what the members hold");
    let Some(delivery) = held.first() else {
        return Err(Stop::failed("nothing was read"));
    };
    let listed = reading
        .members
        .iter()
        .any(|member| member.consumer == *delivery.consumer());
    ensure!(
        listed,
        "the member {} is not listed in {:?}",
        delivery.consumer(),
        reading.members
    );
    let oldest = reading.oldest_pending;
    ensure!(
        oldest.is_some_and(|age| age < t.in_time()),
        "the oldest delivery is {oldest:?} old"
    );
    delivery.ack().await?;
    let after = info(&broker, &stream, &group).await?;
    ensure_eq!(
        (after.pending, after.lag),
        (3, 6),
        "pending and lag after acking one"
    );
    broker
        .create_group(&stream, t.group("other"), StartPosition::Earliest)
        .await?;
    let names: Vec<_> = broker
        .groups(&stream)
        .await?
        .into_iter()
        .map(|it| it.group.to_string())
        .collect();
    ensure_eq!(names, [group, t.group("other")], "the groups by name");
    ensure!(
        broker.groups(t.stream("nobody")).await?.is_empty(),
        "a stream that nobody made has groups"
    );
    Ok(())
}

check!(
    drained,
    "groups.drained",
    Quick,
    SETTLED,
    "Waiting for a group to have nothing left tells when that is so, and when it is not."
);

async fn drained(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    drop(info(&broker, &stream, &group).await?);
    broker.publish(&stream, Message::text("x")).await?;
    let short = Duration::from_millis(100);
    ensure!(
        !broker.wait_until_drained(&stream, &group, short).await?,
        "drained with a message unread"
    );
    let held = t.read(&broker, &stream, &group, 1).await?;
    ensure!(
        !broker.wait_until_drained(&stream, &group, short).await?,
        "drained with a message unsettled"
    );
    for delivery in held {
        delivery.ack().await?;
    }
    let in_time = broker.wait_until_drained(&stream, &group, t.in_time()).await?;
    ensure!(in_time, "not drained although everything is acked");
    Ok(())
}

check!(
    delete_refuses_pending,
    "groups.delete_refuses_pending",
    Quick,
    SETTLED,
    "A group with pending deliveries is deleted only by force; unforced it keeps them, and its messages come again."
);

async fn delete_refuses_pending(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    t.group_before(&broker, &stream, &group).await?;
    broker.publish(&stream, Message::text("x")).await?;
    let held = t.read(&broker, &stream, &group, 1).await?;
    drop(info(&broker, &stream, &group).await?);
    refused(
        broker.delete_group(&stream, &group, false).await,
        ErrorKind::Throttled,
        "unforced deletion",
    )?;
    ensure_eq!(
        info(&broker, &stream, &group).await?.pending,
        1,
        "pending after the refused deletion"
    );
    for delivery in &held {
        ensure!(
            delivery.ack().await?.took_effect(),
            "the ack after the refused deletion has no effect"
        );
    }
    ensure!(
        broker.delete_group(&stream, &group, false).await?,
        "there was no group to delete"
    );
    ensure!(
        !broker.delete_group(&stream, &group, false).await?,
        "deleted twice"
    );
    let left = broker.groups(&stream).await?;
    ensure!(left.is_empty(), "a deleted group is listed: {left:?}");
    let again = t.read(&broker, &stream, &group, 1).await?;
    ensure_eq!(
        again.len(),
        1,
        "what a group of the same name gets from the beginning"
    );
    ensure!(
        broker.delete_group(&stream, &group, true).await?,
        "force did not delete"
    );
    Ok(())
}

check!(
    remove_consumer,
    "groups.remove_consumer",
    Quick,
    SETTLED,
    "What a removed member held goes to the others; nothing of it is lost."
);

async fn remove_consumer(t: &Trial) -> CheckResult {
    let (gone, other, stream, group) = (t.broker().await?, t.broker().await?, t.stream("a"), t.group("g"));
    let ledger = t.ledger();
    t.group_before(&gone, &stream, &group).await?;
    ledger
        .publish_many(&gone, &stream, 0, &["k".to_owned()], 5)
        .await?;
    let held = t.read(&gone, &stream, &group, 5).await?;
    let Some(consumer) = held.first().map(|delivery| delivery.consumer().clone()) else {
        return Err(Stop::failed("nothing was read"));
    };
    for delivery in &held {
        ledger.delivered(&group, delivery);
        ledger.excuse(&group, delivery);
    }
    let moved = other
        .remove_consumer(&stream, &group, &consumer)
        .await
        .or_not_claimed("family `groups`")?;
    ensure_eq!(moved, 5, "messages that the removed member held");
    for delivery in t.read(&other, &stream, &group, 5).await? {
        ledger.ack(&delivery).await?;
    }
    let members = info(&other, &stream, &group).await?.members;
    ensure!(
        members.iter().all(|member| member.consumer != consumer),
        "the removed member is listed: {members:?}"
    );
    ensure_eq!(
        other.remove_consumer(&stream, &group, "nobody").await?,
        0,
        "messages of a member never there"
    );
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    more_members_than_partitions,
    "groups.more_members_than_partitions",
    Full,
    Gate::needs(Capabilities::RELIABLE_MESSAGING.union(Capabilities::STREAM_PARTITIONING))
        .proves(Capabilities::STREAM_PARTITIONING),
    "Members beyond the number of partitions are healthy, and take over when the others leave."
);

async fn more_members_than_partitions(t: &Trial) -> CheckResult {
    let (publisher, stream, group, ledger) = (t.broker().await?, t.stream("a"), t.group("g"), t.ledger());
    let keys: Vec<_> = (0..32).map(|key| format!("key-{key}")).collect();
    ledger.publish_many(&publisher, &stream, 0, &keys, 64).await?;
    let partitions = publisher.partition_count(&stream).await?;
    let mut members = Vec::new();
    for _ in 0..partitions + 2 {
        let broker = t.broker().await?;
        members.push((
            broker.clone(),
            broker.subscribe(&stream, &group).prefetch(4).start().await?,
        ));
    }
    let Some((survivor, subscription)) = members.pop() else {
        return Err(Stop::failed("no members"));
    };
    for (broker, subscription) in members {
        ensure!(
            broker.health_stats().await.connected,
            "an idle member is not connected"
        );
        subscription.close().await?;
        broker.close().await?;
    }
    let mut reader = t.reader_of(subscription);
    for received in reader.take(64).await? {
        ledger.delivered(&group, &received.message);
    }
    survivor.close().await?;
    t.note(ledger.verify()?);
    Ok(())
}
