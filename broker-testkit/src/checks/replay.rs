//! Moving a group.

use std::time::{Duration, SystemTime};

use broker_core::{Capabilities, ErrorKind, MessageId, StartPosition};

use super::ack::ensure_refused;
use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const REPLAY: Gate =
    Gate::needs(Capabilities::REPLAY.union(Capabilities::CONSUMER_GROUPS)).proves(Capabilities::REPLAY);
const SETTLED: Gate = Gate::needs(Capabilities::REPLAY.union(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    .proves(Capabilities::REPLAY);

check!(
    from_begin,
    "replay.from_begin",
    Quick,
    REPLAY,
    "A group that is moved to the earliest message gets all of them again, whatever it had settled."
);

async fn from_begin(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 100).await?;
    handle(&scene, 40).await?;
    for batch in [1, 5, 25] {
        seek(&scene, StartPosition::Earliest).await?;
        ensure_follow(&scene, 0, 100, batch).await?;
    }
    Ok(())
}

check!(
    from_end,
    "replay.from_end",
    Quick,
    REPLAY,
    "A group that is moved to the end gets only what is published afterwards."
);

async fn from_end(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 20).await?;
    handle(&scene, 5).await?;
    seek(&scene, StartPosition::Latest).await?;
    scene.nothing().await?;
    scene.publish(5).await?;
    ensure_follow(&scene, 20, 25, 5).await
}

check!(
    from_id,
    "replay.from_id",
    Quick,
    REPLAY,
    "A group that is moved to a message gets that one first, and then all that follow."
);

async fn from_id(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let ids = scene.publish(50).await?;
    handle(&scene, 50).await?;
    for (from, batch) in [(10, 1), (0, 25), (49, 5), (33, 5)] {
        let id = ids
            .get(from)
            .cloned()
            .ok_or_else(|| Stop::failed("an id is missing"))?;
        seek(&scene, StartPosition::Id(id)).await?;
        ensure_follow(&scene, from as u64, 50, batch).await?;
    }
    Ok(())
}

check!(
    from_time,
    "replay.from_time",
    Quick,
    REPLAY,
    "A group that is moved to a moment gets what was published then or later."
);

async fn from_time(t: &Trial) -> CheckResult {
    // The moment has to lie between two messages on the server's clock as well.
    let apart = t.scale(Duration::from_millis(30), Duration::from_millis(200));
    let scene = Scene::new(t, Options::new(), 10).await?;
    tokio::time::sleep(apart).await;
    let moment = SystemTime::now();
    tokio::time::sleep(apart).await;
    scene.publish(10).await?;
    handle(&scene, 20).await?;
    seek(&scene, StartPosition::Time(moment)).await?;
    ensure_follow(&scene, 10, 20, 5).await?;
    seek(&scene, StartPosition::Time(SystemTime::UNIX_EPOCH)).await?;
    ensure_follow(&scene, 0, 20, 5).await
}

check!(
    future,
    "replay.future_position",
    Quick,
    REPLAY,
    "A position in the future is the end: nothing comes until something new is published."
);

async fn future(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let ids = scene.publish(10).await?;
    let beyond = ids.last().and_then(far_after).map(StartPosition::Id);
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let positions = [Some(StartPosition::Time(tomorrow)), beyond];
    for (from, position) in (10_u64..).zip(positions.into_iter().flatten()) {
        seek(&scene, position).await?;
        scene.nothing().await?;
        scene.publish(1).await?;
        ensure_follow(&scene, from, from + 1, 1).await?;
    }
    Ok(())
}

check!(
    unknown_position,
    "replay.unknown_position",
    Quick,
    REPLAY,
    "A position that no broker made is refused, and the group stays where it is; an unknown group is not found."
);

async fn unknown_position(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 10).await?;
    handle(&scene, 4).await?;
    let nonsense = StartPosition::Id(MessageId::Text("no position".into()));
    match scene.broker.seek(&scene.stream, &scene.group, nonsense).await {
        Ok(()) => return Err(Stop::failed("a group was moved to an id that is no position")),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidMessage | ErrorKind::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    ensure_follow(&scene, 4, 10, 6).await?;
    match scene
        .broker
        .seek(&scene.stream, t.group("nobody"), StartPosition::Earliest)
        .await
    {
        Ok(()) => Err(Stop::failed("a group that does not exist was moved")),
        Err(error) => {
            ensure_eq!(
                error.kind(),
                ErrorKind::NotFound,
                "moving a group that does not exist"
            );
            Ok(())
        }
    }
}

check!(
    other_groups,
    "replay.other_groups_unaffected",
    Quick,
    REPLAY,
    "Moving one group leaves the others where they are."
);

async fn other_groups(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let other = t.group("other");
    scene.broker.read(&scene.stream, &other, 1).await?;
    scene.publish(10).await?;
    handle(&scene, 10).await?;
    let taken = t.read(&scene.broker, &scene.stream, &other, 4).await?;
    seek(&scene, StartPosition::Earliest).await?;
    ensure_follow(&scene, 0, 10, 5).await?;
    seek(&scene, StartPosition::Latest).await?;
    let rest = t.read(&scene.broker, &scene.stream, &other, 6).await?;
    ensure_eq!(
        scene.numbers(&rest)?,
        [4, 5, 6, 7, 8, 9],
        "what the other group got next"
    );
    if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
        scene.ack_all(taken).await?;
        scene.ack_all(rest).await?;
    }
    t.nothing(&scene.broker, &scene.stream, &other).await
}

check!(
    late_group,
    "replay.late_group_history",
    Quick,
    REPLAY,
    "A new group that starts at the earliest message gets all that is kept, and one that starts at the latest none."
);

async fn late_group(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    for round in 1..=3_u64 {
        scene.publish(10).await?;
        let late = t.group(&format!("late-{round}"));
        let all = t
            .read(
                &scene.broker,
                &scene.stream,
                &late,
                usize::try_from(round * 10).unwrap_or(0),
            )
            .await?;
        ensure_eq!(
            scene.numbers(&all)?,
            (0..round * 10).collect::<Vec<_>>(),
            "what a new group got in round {round}"
        );
        t.nothing(&scene.broker, &scene.stream, &late).await?;
    }
    let latest = scene
        .broker
        .subscribe(&scene.stream, t.group("latest"))
        .start_at(StartPosition::Latest)
        .start()
        .await?;
    t.reader_of(latest).nothing().await
}

check!(
    stale_receipts,
    "replay.stale_receipts",
    Quick,
    SETTLED,
    "Receipts handed out before a group was moved settle nothing after it."
);

async fn stale_receipts(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 3).await?;
    let before = scene.read(3).await?;
    seek(&scene, StartPosition::Earliest).await?;
    for delivery in &before {
        ensure_refused(delivery.ack().await)?;
    }
    let after = scene.read(3).await?;
    ensure_eq!(scene.numbers(&after)?, [0, 1, 2], "what came after the move");
    for delivery in &before {
        ensure_refused(delivery.ack().await)?;
    }
    scene.ack_all(after).await?;
    scene.nothing().await
}

check!(
    pending_forgotten,
    "replay.pending_forgotten",
    Quick,
    SETTLED,
    "What a group had pending before it was moved forward does not come again."
);

async fn pending_forgotten(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 3).await?;
    let held = scene.read(2).await?;
    seek(&scene, StartPosition::Latest).await?;
    scene.nothing_within(t.timing().lease + t.quiet()).await?;
    drop(held);
    scene.publish(1).await?;
    ensure_follow(&scene, 3, 4, 1).await
}

async fn seek(scene: &Scene<'_>, position: StartPosition) -> CheckResult {
    Ok(scene.broker.seek(&scene.stream, &scene.group, position).await?)
}

/// Takes messages, and settles them where that is possible.
async fn handle(scene: &Scene<'_>, count: usize) -> CheckResult {
    let deliveries = scene.read(count).await?;
    if scene.t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
        scene.ack_all(deliveries).await?;
    }
    Ok(())
}

/// Checks that just the messages from number `from` to `to` come, in order, read by `batch`.
async fn ensure_follow(scene: &Scene<'_>, from: u64, to: u64, batch: usize) -> CheckResult {
    let mut expected = from;
    while expected < to {
        let left = usize::try_from(to - expected).unwrap_or(usize::MAX);
        let deliveries = scene.read(batch.min(left)).await?;
        for delivery in &deliveries {
            ensure_eq!(
                scene.number(delivery)?,
                expected,
                "the next message from {from} on"
            );
            expected += 1;
        }
        if scene.t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
            scene.ack_all(deliveries).await?;
        }
    }
    ensure!(
        scene
            .broker
            .read(&scene.stream, &scene.group, 1)
            .await?
            .is_empty(),
        "more than the messages from {from} to {to} came"
    );
    Ok(())
}

/// A position of the same form as `id`, after all that is there; `None` for a form without numbers.
fn far_after(id: &MessageId) -> Option<MessageId> {
    const FAR: u64 = 1 << 40;
    match *id {
        MessageId::Offset { partition, offset } => Some(MessageId::Offset {
            partition,
            offset: offset + FAR,
        }),
        MessageId::Entry { ms, seq } => Some(MessageId::Entry { ms: ms + FAR, seq }),
        MessageId::PartitionEntry { partition, ms, seq } => Some(MessageId::PartitionEntry {
            partition,
            ms: ms + FAR,
            seq,
        }),
        MessageId::Text(_) => None,
    }
}
