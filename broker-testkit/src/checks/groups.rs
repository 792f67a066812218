//! Groups: who gets which message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::{Broker, Capabilities, ErrorKind, Message, StartPosition};

use super::partitions::{are_owned, has_one_owner};
use super::publish::payloads;
use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, ensure, ensure_eq};

const GROUPS: Gate = Gate::needs(Capabilities::SIMPLE_QUEUING).proves(Capabilities::CONSUMER_GROUPS);

check!(
    independent,
    "groups.independent",
    Quick,
    GROUPS,
    "Each of two groups gets every message once."
);

async fn independent(t: &Trial) -> CheckResult {
    let (broker, stream, ledger) = (t.broker().await?, t.stream("a"), t.ledger());
    let groups = [t.group("g"), t.group("h")];
    for group in &groups {
        drop(broker.subscribe(&stream, group).start().await?);
    }
    ledger
        .publish_many(&broker, &stream, 0, &["k1".to_owned(), "k2".to_owned()], 50)
        .await?;
    for group in &groups {
        for delivery in t.read(&broker, &stream, group, 50).await? {
            ledger.delivered(group, &delivery);
            if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                ledger.settled(group, &delivery, delivery.ack().await?);
            }
        }
    }
    for group in &groups {
        t.nothing(&broker, &stream, group).await?;
    }
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    load_balanced,
    "groups.load_balanced",
    Quick,
    GROUPS,
    "Three members of a group share its messages: together all, no message to two, and none of them idle."
);

async fn load_balanced(t: &Trial) -> CheckResult {
    const MESSAGES: usize = 90;
    if has_one_owner(t) {
        let reason = "a group's messages go to one process at a time here".to_owned();
        return Err(Stop::NotClaimed(reason));
    }
    let (stream, group, ledger) = (t.stream("a"), t.group("g"), Arc::new(t.ledger()));
    let (mut members, mut owned) = (Vec::new(), false);
    for number in 0..3 {
        let broker = t.broker().await?;
        if number == 0 {
            owned = has_owners(t, &broker, &stream, &group).await?;
        }
        members.push(broker.subscribe(&stream, &group).prefetch(20).start().await?);
    }
    if owned && t.harness().limits().partitions.is_some_and(|count| count < 3) {
        return Err(Stop::NotClaimed(
            "the partitions here have owners, and are too few for three".to_owned(),
        ));
    }
    // Nobody takes more than its prefetch before everybody has one.
    let (barrier, done) = (
        Arc::new(tokio::sync::Barrier::new(3)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (eventual, idle, quiet, acks) = (
        t.in_time(),
        t.at_most(Duration::from_secs(2)),
        t.quiet(),
        t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
    );
    let tasks: Vec<_> = members
        .into_iter()
        .map(|member| {
            let mut reader = t.reader_of(member);
            let (ledger, group, barrier) = (Arc::clone(&ledger), group.clone(), Arc::clone(&barrier));
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut wait = eventual;
                let mut got = 0;
                while let Some(delivery) = reader.next_within(wait).await? {
                    ledger.delivered(&group, &delivery);
                    got += 1;
                    if got == 1 && tokio::time::timeout(eventual, barrier.wait()).await.is_err() {
                        return Err(Stop::failed("another member got nothing"));
                    }
                    if acks {
                        delivery.ack_later();
                    }
                    if done.fetch_add(1, Ordering::Relaxed) + 1 >= MESSAGES {
                        wait = quiet;
                    }
                    if done.load(Ordering::Relaxed) >= MESSAGES {
                        wait = quiet;
                    } else {
                        wait = wait.min(idle);
                    }
                }
                Ok::<usize, Stop>(got)
            })
        })
        .collect();
    // Who does not read is given nothing.
    if owned {
        let broker = &t.broker().await?;
        let (stream, group) = (&stream, &group);
        t.eventually("each of three members owns a partition", || async move {
            let partitions = broker.partitions(stream, group).await?;
            let owners: Option<BTreeSet<_>> = partitions.into_iter().map(|one| one.owner).collect();
            Ok(owners.is_some_and(|owners| owners.len() == 3))
        })
        .await?;
    }
    let keys: Vec<_> = (0..30).map(|key| format!("key-{key}")).collect();
    let publisher = t.broker().await?;
    ledger
        .publish_many(&publisher, &stream, 0, &keys, MESSAGES)
        .await?;
    let mut shares = Vec::new();
    for task in tasks {
        shares.push(task.await.map_err(Stop::failed)??);
    }
    ensure!(shares.iter().all(|share| *share > 0), "the shares are {shares:?}");
    t.note(format_args!("{}, shares {shares:?}", ledger.verify()?));
    Ok(())
}

/// Whether a group's partitions belong to members, so that there is nothing for a member until it is given one.
async fn has_owners(t: &Trial, broker: &Broker, stream: &str, group: &str) -> CheckResult<bool> {
    if !t.has(Capabilities::STREAM_PARTITIONING) {
        return Ok(false);
    }
    broker.publish(stream, Message::text("first")).await?;
    for delivery in t.read(broker, stream, group, 1).await? {
        if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            delivery.ack().await?;
        }
    }
    are_owned(t, broker, stream, group).await
}

check!(
    single_owner,
    "groups.single_owner",
    Quick,
    GROUPS,
    "What one member holds unsettled is given to no other while its lease lasts."
);

async fn single_owner(t: &Trial) -> CheckResult {
    let (one, other, stream, group) = (t.broker().await?, t.broker().await?, t.stream("a"), t.group("g"));
    t.group_before(&one, &stream, &group).await?;
    one.publish(&stream, Message::text("x")).await?;
    one.publish(&stream, Message::text("y")).await?;
    let held = t.read(&one, &stream, &group, 2).await?;
    t.nothing(&other, &stream, &group).await?;
    t.nothing(&one, &stream, &group).await?;
    drop(held);
    t.nothing(&other, &stream, &group).await
}

check!(
    concurrent_creation,
    "groups.concurrent_creation",
    Quick,
    GROUPS,
    "Thirty-two tasks that make one group at once, while messages come, make one group; nothing is lost or doubled."
);

async fn concurrent_creation(t: &Trial) -> CheckResult {
    const MESSAGES: usize = 100;
    let (stream, group, ledger) = (t.stream("a"), t.group("g"), t.ledger());
    let brokers = [
        t.broker().await?,
        t.broker().await?,
        t.broker().await?,
        t.broker().await?,
    ];
    let [first, ..] = &brokers;
    let tasks: Vec<_> = (0..32)
        .zip(brokers.iter().cycle().cloned())
        .map(|(number, broker)| {
            let (stream, group) = (stream.clone(), group.clone());
            tokio::spawn(async move {
                let consumer = format!("member-{number}");
                broker.subscribe(&stream, &group).consumer(consumer).start().await
            })
        })
        .collect();
    let mut members = tasks.into_iter();
    if !t.has(Capabilities::REPLAY) {
        // Where nothing is kept for a group to come, the messages come once it is there.
        for task in members.by_ref() {
            task.await.map_err(Stop::failed)??.close().await?;
        }
    }
    for _ in 0..MESSAGES {
        ledger.publish(first, &stream).await?;
    }
    for task in members {
        task.await.map_err(Stop::failed)??.close().await?;
    }
    if let Ok(groups) = first.groups(&stream).await {
        ensure_eq!(groups.len(), 1, "groups");
    }
    for delivery in t.read(first, &stream, &group, MESSAGES).await? {
        ledger.delivered(&group, &delivery);
        if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            delivery.ack_later();
        }
    }
    t.nothing(first, &stream, &group).await?;
    t.note(ledger.verify()?);
    Ok(())
}

check!(
    created_before_publish,
    "groups.created_before_publish",
    Quick,
    GROUPS,
    "A group that is there before the messages gets them all, whether it starts at the earliest or the latest."
);

async fn created_before_publish(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let mut readers = Vec::new();
    for start in [StartPosition::Earliest, StartPosition::Latest] {
        let group = t.group(&start.to_string());
        readers.push(t.reader_of(broker.subscribe(&stream, group).start_at(start).start().await?));
    }
    broker.publish(&stream, Message::text("x")).await?;
    for reader in &mut readers {
        ensure_eq!(payloads(&reader.take(1).await?), ["x"], "what the group got");
        reader.nothing().await?;
    }
    Ok(())
}

check!(
    created_after_publish,
    "groups.created_after_publish",
    Quick,
    GROUPS,
    "A group made later starts where it was told: at the earliest it gets all that is kept, at the latest what is new."
);

async fn created_after_publish(t: &Trial) -> CheckResult {
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    broker.publish(&stream, Message::text("old")).await?;
    let from = |start: StartPosition| {
        broker
            .subscribe(&stream, t.group(&start.to_string()))
            .start_at(start)
            .start()
    };
    let mut latest = t.reader_of(from(StartPosition::Latest).await?);
    let mut earliest = match from(StartPosition::Earliest).await {
        // A broker without history must say so, rather than start where it can.
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        answer => Some(t.reader_of(answer?)),
    };
    broker.publish(&stream, Message::text("new")).await?;
    ensure_eq!(payloads(&latest.take(1).await?), ["new"], "what the latest got");
    latest.nothing().await?;
    if let Some(earliest) = &mut earliest {
        let mut got = payloads(&earliest.take(1).await?);
        // A broker that keeps nothing for groups to come says so by a flag; one with history has to give it.
        let keeps = t.has(Capabilities::REPLAY) || got != ["new"];
        if keeps {
            got.extend(payloads(&earliest.take(1).await?));
            got.sort();
        }
        let expected: &[&str] = if keeps { &["new", "old"] } else { &["new"] };
        ensure_eq!(got, expected, "what the earliest got");
        earliest.nothing().await?;
    }
    Ok(())
}

check!(
    position_survives_instance,
    "groups.position_survives_instance",
    Quick,
    GROUPS,
    "A member that leaves and comes back, under another instance, goes on where its group was: no repeat and no gap."
);

async fn position_survives_instance(t: &Trial) -> CheckResult {
    // Without durability the server's state may live as long as somebody is there.
    let keeper = t.broker().await?;
    goes_on(t, &keeper).await
}

check!(
    position_survives_restart,
    "groups.position_survives_restart",
    Quick,
    GROUPS.durable(),
    "The group's position is the server's: it is there when every instance was gone."
);

async fn position_survives_restart(t: &Trial) -> CheckResult {
    let publisher = t.broker().await?;
    goes_on(t, &publisher).await
}

async fn goes_on(t: &Trial, publisher: &Broker) -> CheckResult {
    let (stream, group, ledger) = (t.stream("a"), t.group("g"), t.ledger());
    t.group_before(publisher, &stream, &group).await?;
    ledger
        .publish_many(publisher, &stream, 0, &["k".to_owned()], 30)
        .await?;
    let durable = t.harness().durable();
    for round in 0..3 {
        let member = t.broker().await?;
        if durable && round == 0 {
            publisher.close().await?;
        }
        for delivery in t.read(&member, &stream, &group, 10).await? {
            ensure_eq!(delivery.attempt(), 1, "the attempt");
            ledger.delivered(&group, &delivery);
            if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                ledger.settled(&group, &delivery, delivery.ack().await?);
            }
        }
        member.close().await?;
    }
    let last = t.broker().await?;
    t.nothing(&last, &stream, &group).await?;
    t.note(ledger.verify_ordered()?);
    Ok(())
}
