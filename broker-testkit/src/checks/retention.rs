//! Removing old messages.

use std::time::{Duration, SystemTime};

use broker_core::base::{TrimTo, Trimmed};
use broker_core::{BrokerEvent, Capabilities, ErrorKind, StartPosition};

use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const TRIM: Gate = Gate::needs(Capabilities::RETENTION.union(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
    .proves(Capabilities::RETENTION);

check!(
    slowest_group,
    "retention.slowest_group",
    Quick,
    TRIM,
    "Trimming removes no message that some group has not settled, and what all have settled it removes."
);

async fn slowest_group(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let slow = t.group("slow");
    scene.broker.read(&scene.stream, &slow, 1).await?;
    scene.publish(20).await?;
    scene.ack_all(scene.read(20).await?).await?;
    let mut slowly = t.read(&scene.broker, &scene.stream, &slow, 10).await?;
    let unsettled = slowly.split_off(5);
    scene.ack_all(slowly).await?;
    let trimmed = trim(&scene, TrimTo::Length(0), false).await?;
    ensure_eq!(trimmed.lost, 0, "messages lost without force");
    ensure!(
        trimmed.removed <= 5,
        "{} messages were removed, and one group has settled no more than 5",
        trimmed.removed
    );
    scene.ack_all(unsettled).await?;
    let rest = t.read(&scene.broker, &scene.stream, &slow, 10).await?;
    ensure_eq!(
        scene.numbers(&rest)?,
        (10..20).collect::<Vec<_>>(),
        "what the slow group got after the trimming"
    );
    scene.ack_all(rest).await?;
    trim(&scene, TrimTo::Length(0), false).await?;
    ensure_kept(&scene, 0).await
}

check!(
    to_length,
    "retention.to_length",
    Quick,
    TRIM,
    "Trimming to a length, an id or a time keeps just that and what follows."
);

async fn to_length(t: &Trial) -> CheckResult {
    let apart = t.scale(Duration::from_millis(30), Duration::from_millis(200));
    let scene = Scene::new(t, Options::new(), 0).await?;
    let ids = scene.publish(10).await?;
    tokio::time::sleep(apart).await;
    let moment = SystemTime::now();
    tokio::time::sleep(apart).await;
    scene.publish(5).await?;
    scene.ack_all(scene.read(15).await?).await?;
    let fourth = ids
        .get(4)
        .cloned()
        .ok_or_else(|| Stop::failed("an id is missing"))?;
    for (step, (to, removed, oldest)) in [
        (TrimTo::Length(12), 3, 3),
        (TrimTo::Id(fourth), 1, 4),
        (TrimTo::Time(moment), 6, 10),
        (TrimTo::Length(100), 0, 10),
    ]
    .into_iter()
    .enumerate()
    {
        let trimmed = trim(&scene, to.clone(), false).await?;
        let expected = Trimmed { removed, lost: 0 };
        ensure_eq!(trimmed, expected, "trimming to {to:?}");
        ensure_kept(&scene, 15 - oldest).await?;
        if t.has(Capabilities::REPLAY) {
            let late = t.group(&format!("late-{step}"));
            let kept = t
                .read(
                    &scene.broker,
                    &scene.stream,
                    &late,
                    usize::try_from(15 - oldest).unwrap_or(0),
                )
                .await?;
            ensure_eq!(
                scene.numbers(&kept)?,
                (oldest..15).collect::<Vec<_>>(),
                "what a new group gets after trimming to {to:?}"
            );
            scene.ack_all(kept).await?;
        }
    }
    Ok(())
}

check!(
    forced,
    "retention.forced_hole",
    Quick,
    TRIM,
    "What is removed by force from under a group is counted and reported, and the group goes on."
);

async fn forced(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 10).await?;
    let mut events = scene.broker.events();
    scene.ack_all(scene.read(3).await?).await?;
    let trimmed = trim(&scene, TrimTo::Length(4), true).await?;
    let expected = Trimmed { removed: 6, lost: 3 };
    ensure_eq!(trimmed, expected, "trimming by force from 10 messages to 4");
    let rest = scene.read(4).await?;
    ensure_eq!(scene.numbers(&rest)?, [6, 7, 8, 9], "what came after the hole");
    scene.ack_all(rest).await?;
    scene.nothing().await?;
    let mut lost = 0;
    while let Ok(event) = events.try_recv() {
        if let BrokerEvent::MessagesLost { count, group, .. } = event
            && group.as_str() == scene.group
        {
            lost += count;
        }
    }
    ensure_eq!(lost, 3, "messages reported lost");
    Ok(())
}

check!(
    trimmed_pending,
    "retention.trimmed_pending",
    Quick,
    TRIM,
    "A pending message whose body was removed by force does not come again empty, and wedges nothing."
);

async fn trimmed_pending(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 3).await?;
    let held = scene.read(3).await?;
    let trimmed = trim(&scene, TrimTo::Length(0), true).await?;
    ensure_eq!(trimmed.removed, 3, "messages removed by force");
    drop(held);
    scene.nothing_within(t.timing().lease + t.quiet()).await?;
    scene.publish(2).await?;
    let next = scene.read(2).await?;
    ensure_eq!(scene.numbers(&next)?, [3, 4], "what came after the hole");
    scene.ack_all(next).await?;
    t.eventually("nothing is pending", || async {
        let groups = scene.broker.groups(&scene.stream).await?;
        Ok(groups.iter().all(|group| group.pending == 0))
    })
    .await
}

check!(
    seek_before,
    "retention.seek_before",
    Quick,
    Gate::needs(
        Capabilities::RETENTION
            .union(Capabilities::REPLAY)
            .union(Capabilities::MESSAGE_ACKNOWLEDGEMENT)
    )
    .proves(Capabilities::RETENTION),
    "A position that was trimmed away is the oldest message kept."
);

async fn seek_before(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let ids = scene.publish(10).await?;
    scene.ack_all(scene.read(10).await?).await?;
    trim(&scene, TrimTo::Length(4), false).await?;
    let first = ids
        .first()
        .cloned()
        .ok_or_else(|| Stop::failed("an id is missing"))?;
    for position in [StartPosition::Id(first), StartPosition::Earliest] {
        scene
            .broker
            .seek(&scene.stream, &scene.group, position.clone())
            .await?;
        let kept = scene.read(4).await?;
        ensure_eq!(
            scene.numbers(&kept)?,
            [6, 7, 8, 9],
            "what came after moving to {position}"
        );
        scene.ack_all(kept).await?;
        scene.nothing().await?;
    }
    Ok(())
}

async fn trim(scene: &Scene<'_>, to: TrimTo, force: bool) -> CheckResult<Trimmed> {
    Ok(scene.broker.trim(&scene.stream, to, force).await?)
}

/// Checks how many messages the stream keeps, where the broker shows streams.
async fn ensure_kept(scene: &Scene<'_>, kept: u64) -> CheckResult {
    match scene.broker.stream_info(&scene.stream).await {
        Ok(info) => {
            let messages = info.map(|info| info.messages);
            ensure_eq!(messages, Some(kept), "messages kept by the stream");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(error.into()),
    }
}
