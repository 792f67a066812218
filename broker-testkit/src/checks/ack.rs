//! What an ack does, and what it leaves alone.

use std::collections::BTreeSet;

use broker_core::{Capabilities, ErrorKind, Receipt, Result, Settled};

use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const ACK: Gate = Gate::needs(Capabilities::MESSAGE_ACKNOWLEDGEMENT);

check!(
    removes,
    "ack.removes",
    Quick,
    ACK,
    "An acked message never comes again, neither after its lease nor after a restart."
);

async fn removes(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 2).await?;
    scene.ack_all(scene.read(2).await?).await?;
    scene.nothing_within(t.timing().lease + t.quiet()).await?;
    scene.restart(short_lease(t)).await?.nothing().await
}

check!(
    unacked_redelivered,
    "ack.unacked_redelivered",
    Quick,
    ACK.proves(Capabilities::MESSAGE_ACKNOWLEDGEMENT.union(Capabilities::DELIVERY_GUARANTEES)),
    "A message that is not settled within its lease comes again as attempt 2, and its acked neighbour does not."
);

async fn unacked_redelivered(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t), 2).await?;
    let [first, second] = scene.take().await?;
    let kept = scene.number(&first)?;
    ensure_eq!(second.ack().await?, Settled::Acked, "the neighbour's ack");
    drop(first);
    let [again] = scene.take().await?;
    ensure_eq!(scene.number(&again)?, kept, "the message that came again");
    ensure_eq!(again.attempt(), 2, "its attempt");
    ensure_eq!(again.ack().await?, Settled::Acked, "its ack");
    scene.nothing().await
}

check!(
    double,
    "ack.double",
    Quick,
    ACK,
    "A second ack answers AlreadySettled and touches no other message."
);

async fn double(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let [first, second] = scene.take().await?;
    ensure_eq!(first.ack().await?, Settled::Acked, "the first ack");
    ensure_eq!(first.ack().await?, Settled::AlreadySettled, "the second ack");
    let by_receipt = scene
        .broker
        .ack(&scene.stream, &scene.group, first.receipt())
        .await?;
    ensure_eq!(by_receipt, Settled::AlreadySettled, "the third ack, by receipt");
    ensure_eq!(second.ack().await?, Settled::Acked, "the neighbour's ack");
    Ok(())
}

check!(
    unknown_id,
    "ack.unknown_id",
    Quick,
    ACK,
    "An ack of a position that was never handed out answers NotPending and changes nothing."
);

async fn unknown_id(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let [first] = scene.take().await?;
    let unknown = first.receipt().advance(1_000);
    let answer = scene.broker.ack(&scene.stream, &scene.group, unknown).await?;
    ensure_eq!(
        answer,
        Settled::NotPending,
        "the ack of a message that is not there"
    );
    // The next message is there and was not handed out: acking it ahead of time would lose it.
    let ahead = first.receipt().advance(1);
    ensure_refused(scene.broker.ack(&scene.stream, &scene.group, ahead).await)?;
    let [second] = scene.take().await?;
    ensure_eq!(
        second.attempt(),
        1,
        "the attempt of a message acked ahead of time"
    );
    scene.ack_all(vec![first, second]).await
}

check!(
    malformed_id,
    "ack.malformed_id",
    Quick,
    ACK,
    "An ack of a receipt that no broker made is refused, is no server error, and changes nothing."
);

async fn malformed_id(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    let extreme = Receipt {
        partition: u32::MAX,
        attempt: u32::MAX,
        sequence: u64::MAX,
        major: u64::MAX,
        fence: u64::MAX,
    };
    for receipt in [extreme, Receipt::default()] {
        if receipt != delivery.receipt() {
            ensure_refused(scene.broker.ack(&scene.stream, &scene.group, receipt).await)?;
        }
    }
    ensure_eq!(
        delivery.ack().await?,
        Settled::Acked,
        "the ack of the true receipt"
    );
    Ok(())
}

check!(
    unknown_group,
    "ack.unknown_group",
    Quick,
    ACK,
    "A group that was handed nothing can't ack another group's delivery."
);

async fn unknown_group(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    let other = t.group("other");
    ensure_refused(scene.broker.ack(&scene.stream, &other, delivery.receipt()).await)?;
    ensure_eq!(delivery.ack().await?, Settled::Acked, "its own group's ack");
    Ok(())
}

check!(
    cross_stream,
    "ack.cross_stream",
    Quick,
    ACK,
    "A receipt of one stream settles nothing on another."
);

async fn cross_stream(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let (other, ledger) = (t.stream("other"), t.ledger());
    scene.broker.read(&other, &scene.group, 1).await?;
    ledger.publish(&scene.broker, &other).await?;
    let [delivery] = scene.take().await?;
    ensure_refused(scene.broker.ack(&other, &scene.group, delivery.receipt()).await)?;
    for untouched in t.read(&scene.broker, &other, &scene.group, 1).await? {
        ensure_eq!(untouched.attempt(), 1, "the attempt on the other stream");
    }
    ensure_eq!(delivery.ack().await?, Settled::Acked, "its own stream's ack");
    Ok(())
}

check!(
    ownership,
    "ack.ownership",
    Quick,
    ACK,
    "A consumer can't ack what another consumer of its group was handed."
);

async fn ownership(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    let other = t.broker().await?;
    ensure_refused(other.ack(&scene.stream, &scene.group, delivery.receipt()).await)?;
    ensure_eq!(delivery.ack().await?, Settled::Acked, "the owner's ack");
    Ok(())
}

check!(
    per_group,
    "ack.per_group",
    Quick,
    ACK,
    "A group's ack does not take the message from another group."
);

async fn per_group(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let other = t.group("other");
    scene.broker.read(&scene.stream, &other, 1).await?;
    scene.publish(5).await?;
    scene.ack_all(scene.read(5).await?).await?;
    let others = t.read(&scene.broker, &scene.stream, &other, 5).await?;
    ensure_eq!(
        scene.numbers(&others)?,
        [0, 1, 2, 3, 4],
        "what the other group was handed"
    );
    ensure!(
        others.iter().all(|delivery| delivery.attempt() == 1),
        "the other group saw a later attempt"
    );
    scene.ack_all(others).await
}

check!(
    batch,
    "ack.batch",
    Quick,
    ACK,
    "Acking a batch answers for each of its receipts."
);

async fn batch(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 5).await?;
    let until = tokio::time::Instant::now() + t.in_time();
    let mut batch = scene.broker.read(&scene.stream, &scene.group, 5).await?;
    while batch.is_empty() && tokio::time::Instant::now() < until {
        tokio::time::sleep(crate::trial::POLL).await;
        batch = scene.broker.read(&scene.stream, &scene.group, 5).await?;
    }
    let middle = batch.len() / 2;
    let settled = batch.iter().nth(middle).map(|delivery| delivery.receipt());
    let settled = settled.ok_or_else(|| Stop::failed("the batch stayed empty"))?;
    scene.broker.ack(&scene.stream, &scene.group, settled).await?;
    let count = batch.len();
    let answers = batch.ack().await?;
    ensure_eq!(answers.len(), count, "answers");
    for (index, answer) in answers.iter().enumerate() {
        let expected = if index == middle {
            Settled::AlreadySettled
        } else {
            Settled::Acked
        };
        ensure_eq!(answer, expected, "the answer for receipt {index} of {count}");
    }
    Ok(())
}

check!(
    out_of_order,
    "ack.out_of_order",
    Quick,
    ACK,
    "Of ten messages acked in any order but one, exactly that one comes again after a restart."
);

async fn out_of_order(t: &Trial) -> CheckResult {
    const LEFT: u64 = 4;
    let scene = Scene::new(t, short_lease(t), 10).await?;
    let mut deliveries = scene.read(10).await?;
    fastrand::Rng::with_seed(t.seed()).shuffle(&mut deliveries);
    for delivery in deliveries {
        if scene.number(&delivery)? != LEFT {
            ensure_eq!(delivery.ack().await?, Settled::Acked, "an ack out of order");
        }
    }
    let scene = scene.restart(Options::new()).await?;
    let commits_a_position =
        super::partitions::are_owned(t, &scene.broker, &scene.stream, &scene.group).await?;
    let mut came = BTreeSet::new();
    while !came.contains(&LEFT) {
        let [again] = scene.take().await?;
        let number = scene.number(&again)?;
        ensure!(
            number == LEFT || (commits_a_position && number > LEFT),
            "message {number} was acked and came again"
        );
        came.insert(number);
        ensure_eq!(again.ack().await?, Settled::Acked, "the ack of message {number}");
    }
    if commits_a_position {
        t.note(format!("came again beside the unacked one: {}", came.len() - 1));
        return Ok(());
    }
    scene.nothing().await
}

check!(
    later_does_not_cover_earlier,
    "ack.later_does_not_cover_earlier",
    Quick,
    ACK,
    "Acks of later batches never cover an earlier message that is not settled."
);

async fn later_does_not_cover_earlier(t: &Trial) -> CheckResult {
    const COUNT: u64 = 100;
    // On a slow machine the first message comes again and again meanwhile.
    let scene = Scene::new(t, short_lease(t).max_retries(1_000), 100).await?;
    let mut acked = BTreeSet::new();
    while acked.len() < 99 {
        let batch = scene.read(1).await?.into_iter();
        let more = scene.broker.read(&scene.stream, &scene.group, 9).await?;
        for delivery in batch.chain(more) {
            let number = scene.number(&delivery)?;
            if number > 0 {
                ensure_eq!(
                    delivery.ack().await?,
                    Settled::Acked,
                    "the ack of message {number}"
                );
                acked.insert(number);
            }
        }
    }
    ensure_eq!(acked, (1..COUNT).collect(), "the acked messages");
    let scene = scene.restart(Options::new().max_retries(1_000)).await?;
    loop {
        let [again] = scene.take().await?;
        if scene.number(&again)? == 0 {
            ensure!(again.attempt() >= 2, "the first message came again as attempt 1");
            return Ok(());
        }
    }
}

/// Checks that a settlement took no effect, and was not answered as if the server had failed.
#[track_caller]
pub(super) fn ensure_refused(answer: Result<Settled>) -> CheckResult {
    match answer {
        Ok(settled) if settled.took_effect() => Err(Stop::failed(format!(
            "answered {settled:?} for what it may not settle"
        ))),
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::InvalidMessage | ErrorKind::NotFound | ErrorKind::Stale | ErrorKind::Permission => {
                Ok(())
            }
            _ => Err(error.into()),
        },
    }
}
