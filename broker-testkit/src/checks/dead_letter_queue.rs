//! What an operator does with dead letters.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use broker_core::broker::DeadLetterQueue;
use broker_core::{Capabilities, DeadLetter, DeadLetterQuery, ErrorKind, MessageId, Selection};

use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Options, Part, Stop, Trial, ensure, ensure_eq};

const DLQ: Gate = Gate::needs(Capabilities::DEAD_LETTER_QUEUE);

check!(
    list,
    "dlq.list_order_limit_filter",
    Quick,
    DLQ,
    "Dead letters are listed newest first, by pages that are complete while entries are added, and by time."
);

async fn list(t: &Trial) -> CheckResult {
    let (scene, dead) = buried(t, 7).await?;
    let (mut seen, mut query) = (Vec::new(), page(3));
    loop {
        let page = dead.list(query.clone()).await?;
        ensure!(
            page.letters.len() <= 3,
            "a page of {} where 3 were asked for",
            page.letters.len()
        );
        seen.extend(reasons(&page.letters));
        // What comes meanwhile is newer than the page, so it may not move what is left.
        scene.publish(1).await?;
        scene.bury(1).await?;
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
        ensure!(seen.len() < 20, "the pages have no end: {seen:?}");
    }
    let expected: Vec<_> = (0..7).rev().map(|number| format!("failed: {number}")).collect();
    ensure_eq!(seen, expected, "the pages' reasons");
    let all = letters(&dead).await?;
    for letter in &all {
        let moment = letter.last_failed;
        let later = |letter: &&DeadLetter| letter.last_failed >= moment;
        let since = DeadLetterQuery {
            since: Some(moment),
            ..page(100)
        };
        let until = DeadLetterQuery {
            until: Some(moment),
            ..page(100)
        };
        let since = dead.list(since).await?.letters;
        ensure_eq!(
            ids(&since),
            ids(all.iter().filter(later)),
            "those since {moment:?}"
        );
        let until = dead.list(until).await?.letters;
        let earlier = all.iter().filter(|letter| !later(letter));
        ensure_eq!(ids(&until), ids(earlier), "those until {moment:?}");
    }
    Ok(())
}

check!(
    inspect,
    "dlq.inspect",
    Quick,
    DLQ,
    "A dead letter is found by its id, on its own stream and in its own group only."
);

async fn inspect(t: &Trial) -> CheckResult {
    let (scene, dead) = buried(t, 2).await?;
    for letter in letters(&dead).await? {
        let found = dead.inspect(&letter.id).await?;
        ensure_eq!(found.as_ref(), Some(&letter), "the entry {}", letter.id);
        for (stream, group) in [
            (t.stream("other"), scene.group.clone()),
            (scene.stream.clone(), t.group("other")),
        ] {
            let elsewhere = scene
                .broker
                .dead_letters(stream, group)?
                .inspect(&letter.id)
                .await?;
            // Ids need not be unique over streams, but another's entry is never this one.
            ensure!(elsewhere.is_none(), "the entry {} was found elsewhere", letter.id);
        }
    }
    for unknown in unknown_ids() {
        ensure!(
            dead.inspect(&unknown).await?.is_none(),
            "found the unknown id {unknown}"
        );
    }
    Ok(())
}

check!(
    replay,
    "dlq.replay",
    Quick,
    DLQ,
    "A replayed dead letter comes to its group again as attempt 1 with `replayed-from`, and is gone from the dead letters."
);

async fn replay(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    t.group_before(&scene.broker, &scene.stream, &t.group("other"))
        .await?;
    scene.publish(2).await?;
    scene.bury(2).await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    let others = t.read(&scene.broker, &scene.stream, &t.group("other"), 2).await?;
    scene.ack_all(others).await?;
    let Some(letter) = letters(&dead).await?.pop() else {
        return Err(Stop::failed("no dead letter is listed"));
    };
    dead.replay(&letter.id).await?;
    let [delivery] = scene.take().await?;
    ensure_eq!(delivery.attempt(), 1, "the attempt");
    ensure_eq!(delivery.payload(), letter.message.payload(), "the payload");
    ensure_eq!(delivery.message_key(), letter.message.message_key(), "the key");
    ensure_eq!(
        delivery.headers().get_str("replayed-from")?,
        Some(letter.id.to_string().as_str()),
        "the header `replayed-from`"
    );
    delivery.ack().await?;
    ensure_eq!(dead.depth().await?, 1, "dead letters after a replay");
    ensure!(
        dead.inspect(&letter.id).await?.is_none(),
        "a replayed entry is still there"
    );
    ensure_not_found(dead.replay(&letter.id).await)?;
    scene.nothing().await?;
    t.nothing(&scene.broker, &scene.stream, &t.group("other")).await
}

check!(
    replay_all,
    "dlq.replay_all",
    Quick,
    DLQ,
    "Replaying all answers how many, keeps their order, and leaves none; of none, it answers zero."
);

async fn replay_all(t: &Trial) -> CheckResult {
    let (scene, dead) = buried(t, 7).await?;
    ensure_eq!(dead.replay_all().await?, 7, "replayed");
    ensure_eq!(dead.depth().await?, 0, "dead letters after replaying all");
    let again = scene.read(7).await?;
    ensure_eq!(scene.numbers(&again)?, [0, 1, 2, 3, 4, 5, 6], "their order");
    ensure!(
        again.iter().all(|delivery| delivery.attempt() == 1),
        "a replayed message is not attempt 1"
    );
    scene.ack_all(again).await?;
    ensure_eq!(dead.replay_all().await?, 0, "replayed of none");
    scene.nothing().await
}

check!(
    selected,
    "dlq.replay_selected",
    Quick,
    DLQ,
    "Replaying or purging a selection takes just that, and nothing where one of its ids is unknown."
);

async fn selected(t: &Trial) -> CheckResult {
    let (scene, dead) = buried(t, 5).await?;
    let entries: Vec<_> = letters(&dead)
        .await?
        .into_iter()
        .map(|letter| letter.id)
        .collect();
    let (purged, replayed) = entries.split_at(2);
    for unknown in unknown_ids() {
        let with_unknown = Selection::Ids(vec![entries.last().cloned().unwrap_or(unknown.clone()), unknown]);
        ensure_not_found(dead.replay_selected(&with_unknown).await)?;
        ensure_not_found(dead.purge(&with_unknown).await)?;
    }
    ensure_eq!(
        dead.depth().await?,
        5,
        "dead letters after selecting an unknown id"
    );
    ensure_eq!(dead.purge(&Selection::Ids(purged.to_vec())).await?, 2, "purged");
    ensure_eq!(
        dead.replay_selected(&Selection::Ids(replayed.to_vec())).await?,
        3,
        "replayed"
    );
    ensure_eq!(dead.depth().await?, 0, "dead letters left");
    // The list is newest first: the two newest are gone.
    let again = scene.read(3).await?;
    ensure_eq!(scene.numbers(&again)?, [0, 1, 2], "what was replayed");
    scene.ack_all(again).await?;
    scene.nothing().await
}

check!(
    purge,
    "dlq.purge",
    Quick,
    DLQ,
    "Purging answers how many, leaves none, and none of them comes again."
);

async fn purge(t: &Trial) -> CheckResult {
    let (scene, dead) = buried(t, 7).await?;
    ensure_eq!(dead.purge(&Selection::All).await?, 7, "purged");
    ensure_eq!(dead.depth().await?, 0, "dead letters after purging all");
    ensure_eq!(dead.purge(&Selection::All).await?, 0, "purged of none");
    ensure_eq!(dead.replay_all().await?, 0, "replayed of none");
    scene.nothing().await
}

check!(
    depth,
    "dlq.depth",
    Quick,
    DLQ,
    "The depth is the number of entries at each moment, and health counts them."
);

async fn depth(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 3).await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    for expected in 0..3 {
        ensure_eq!(dead.depth().await?, expected, "dead letters");
        ensure_eq!(
            letters(&dead).await?.len() as u64,
            expected,
            "listed dead letters"
        );
        scene.bury(1).await?;
    }
    ensure_eq!(
        scene.broker.health_stats().await.counts.dead,
        3,
        "dead letters in health"
    );
    let empty = scene.broker.dead_letters(&scene.stream, t.group("other"))?;
    ensure_eq!(empty.depth().await?, 0, "dead letters of a group without any");
    Ok(())
}

check!(
    trim,
    "dlq.trim",
    Quick,
    DLQ,
    "Trimming by time removes the older dead letters and only those."
);

async fn trim(t: &Trial) -> CheckResult {
    let apart = t.scale(Duration::from_millis(30), Duration::from_millis(200));
    let (scene, dead) = buried(t, 3).await?;
    tokio::time::sleep(apart).await;
    let moment = SystemTime::now();
    tokio::time::sleep(apart).await;
    scene.publish(2).await?;
    scene.bury(2).await?;
    ensure_eq!(dead.trim(moment).await?, 3, "trimmed");
    let left = letters(&dead).await?;
    ensure_eq!(reasons(&left), ["failed: 4", "failed: 3"], "what is left");
    ensure_eq!(dead.trim(moment).await?, 0, "trimmed once more");
    ensure_eq!(dead.depth().await?, 2, "dead letters left");
    Ok(())
}

check!(
    source_settled,
    "dlq.source_settled",
    Quick,
    DLQ,
    "A dead-lettered message is done at its source: nothing is pending, and settling it again changes nothing."
);

async fn source_settled(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, super::scene::short_lease(t), 1).await?;
    let [delivery] = scene.take().await?;
    let options = broker_core::broker::NackOptions::new().dead_letter();
    delivery.nack_with(options.clone()).await?;
    super::ack::ensure_refused(delivery.nack_with(options).await)?;
    super::ack::ensure_refused(delivery.ack().await)?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    ensure_eq!(dead.depth().await?, 1, "dead letters after settling again");
    scene.nothing_within(t.timing().lease + t.quiet()).await?;
    ensure_eq!(dead.depth().await?, 1, "dead letters after the lease");
    Ok(())
}

check!(
    in_one_place,
    "dlq.in_one_place",
    Full,
    DLQ.part(Part::Proxy),
    "A message is given up while the network takes longer than its lease: it ends with the dead letters or comes again, never both."
);

async fn in_one_place(t: &Trial) -> CheckResult {
    let Some(proxy) = t.harness().proxy() else {
        return Err(Stop::NotExercised(Part::Proxy.to_string()));
    };
    let lease = t.timing().lease;
    let scene = Scene::new(t, super::scene::short_lease(t), 1).await?;
    let [delivery] = scene.take().await?;
    // One call and its answer take as long as the lease has left, and giving up may take several calls.
    proxy.delay(lease / 2).await?;
    let given_up = delivery
        .nack_with(broker_core::broker::NackOptions::new().dead_letter())
        .await;
    proxy.heal().await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    let again = scene
        .broker
        .read_wait(&scene.stream, &scene.group, 10, lease * 2 + t.quiet())
        .await?
        .len();
    let depth = dead.depth().await?;
    ensure!(
        depth + again as u64 == 1,
        "giving up answered {given_up:?}: {depth} lie with the dead letters and {again} came again"
    );
    Ok(())
}

/// A scene whose `count` messages lie with the dead letters.
async fn buried(t: &Trial, count: usize) -> CheckResult<(Scene<'_>, DeadLetterQueue)> {
    let scene = Scene::new(t, Options::new(), 0).await?;
    scene.publish(count).await?;
    scene.bury(count).await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    Ok((scene, dead))
}

fn page(limit: usize) -> DeadLetterQuery {
    DeadLetterQuery {
        limit,
        ..DeadLetterQuery::default()
    }
}

async fn letters(dead: &DeadLetterQueue) -> CheckResult<Vec<DeadLetter>> {
    Ok(dead.list(page(100)).await?.letters)
}

fn reasons(letters: &[DeadLetter]) -> Vec<String> {
    letters
        .iter()
        .map(|letter| letter.failure.reason.clone())
        .collect()
}

fn ids<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> BTreeSet<MessageId> {
    letters.into_iter().map(|letter| letter.id.clone()).collect()
}

/// Ids of every form that no broker gave.
fn unknown_ids() -> [MessageId; 4] {
    let far = u64::MAX / 2;
    [
        MessageId::Text("no such entry".into()),
        MessageId::Offset {
            partition: 0,
            offset: far,
        },
        MessageId::Entry { ms: far, seq: 0 },
        MessageId::PartitionEntry {
            partition: 0,
            ms: far,
            seq: 0,
        },
    ]
}

#[track_caller]
fn ensure_not_found<T>(answer: broker_core::Result<T>) -> CheckResult {
    match answer {
        Ok(_) => Err(Stop::failed("an id that is not there was taken")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
