//! What a nack does.

use std::collections::BTreeSet;
use std::time::Duration;

use broker_core::broker::NackOptions;
use broker_core::{Capabilities, Message, Settled};
use tokio::time::Instant;

use super::ack::ensure_refused;
use super::scene::Scene;
use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, ensure, ensure_eq};

const NACK: Gate = Gate::needs(Capabilities::ACK_NACK).proves(Capabilities::MESSAGE_REJECTION);

check!(
    redelivers,
    "ack.nack_redelivers",
    Quick,
    NACK,
    "A nacked message comes again as the next attempt, with the same id, key, bytes and headers."
);

async fn redelivers(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let message = Message::new(vec![0, 159, 146, 150])
        .key("k")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("empty", "")
        .id("order-7")
        .kind("order.placed")
        .content_type("application/octet-stream");
    let id = scene.broker.publish(&scene.stream, message.clone()).await?;
    for attempt in 1..=2 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), attempt, "the attempt");
        ensure_eq!(delivery.id(), id, "the id of attempt {attempt}");
        ensure_eq!(*delivery.message(), message, "the message of attempt {attempt}");
        if attempt == 1 {
            ensure_eq!(delivery.nack().await?, Settled::Nacked, "the nack");
        } else {
            ensure_eq!(delivery.ack().await?, Settled::Acked, "the ack");
        }
    }
    scene.nothing().await
}

check!(
    then_ack,
    "ack.nack_then_ack",
    Quick,
    NACK,
    "An ack after a nack answers AlreadySettled, and the message still comes again."
);

async fn then_ack(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    let rest = NackOptions::new().delay(t.quiet());
    ensure_eq!(delivery.nack_with(rest).await?, Settled::Nacked, "the nack");
    ensure_eq!(delivery.ack().await?, Settled::AlreadySettled, "the ack after it");
    let [again] = scene.take().await?;
    ensure_eq!(again.attempt(), 2, "the attempt");
    ensure_refused(delivery.ack().await)?;
    ensure_eq!(again.ack().await?, Settled::Acked, "the later delivery's ack");
    Ok(())
}

check!(
    after_ack,
    "ack.ack_then_nack",
    Quick,
    NACK,
    "A nack after an ack answers AlreadySettled, and the message does not come again."
);

async fn after_ack(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    ensure_eq!(delivery.ack().await?, Settled::Acked, "the ack");
    ensure_eq!(
        delivery.nack().await?,
        Settled::AlreadySettled,
        "the nack after it"
    );
    scene.nothing().await
}

check!(
    delay,
    "ack.nack_delay",
    Quick,
    NACK,
    "A message nacked with a delay does not come before it, and others come meanwhile."
);

async fn delay(t: &Trial) -> CheckResult {
    let delay = t.scale(Duration::from_millis(400), Duration::from_millis(1_500));
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [late] = scene.take().await?;
    let number = scene.number(&late)?;
    let since = Instant::now();
    late.nack_with(NackOptions::new().delay(delay)).await?;
    scene.publish(1).await?;
    for turn in 0..2 {
        let [delivery] = scene.take().await?;
        let waited = since.elapsed();
        if scene.number(&delivery)? == number {
            ensure!(waited >= delay, "it came {waited:?} after a nack with {delay:?}");
            ensure_eq!(delivery.attempt(), 2, "its attempt");
        } else {
            ensure!(turn == 0, "the other message came only after the nacked one");
        }
        ensure_eq!(delivery.ack().await?, Settled::Acked, "an ack");
        if turn == 0 && waited >= delay {
            // On so slow a machine the other one may as well be second.
            return Ok(());
        }
    }
    Ok(())
}

check!(
    no_requeue,
    "ack.nack_no_requeue",
    Quick,
    NACK,
    "A discarded message is not seen again, is counted, and its neighbour is."
);

async fn no_requeue(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let [first, second] = scene.take().await?;
    let answer = first.nack_with(NackOptions::new().discard()).await?;
    ensure_eq!(answer, Settled::Nacked, "the discarding");
    ensure_eq!(first.ack().await?, Settled::AlreadySettled, "an ack after it");
    let kept = scene.number(&second)?;
    second.nack().await?;
    let [again] = scene.take().await?;
    ensure_eq!(scene.number(&again)?, kept, "the message that came again");
    again.ack().await?;
    scene.nothing().await?;
    scene.one_is_discarded().await
}

check!(
    give_back,
    "ack.give_back",
    Quick,
    NACK,
    "A message that is given back unhandled comes at once, to any consumer, and the delivery does not count."
);

async fn give_back(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().retry_delay(Duration::from_secs(30)), 1).await?;
    for _ in 0..3 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), 1, "the attempt");
        let answer = delivery.nack_with(NackOptions::new().give_back()).await?;
        ensure_eq!(answer, Settled::Nacked, "giving back");
        ensure_refused(delivery.ack().await)?;
    }
    let [last] = scene.take().await?;
    ensure_eq!(last.ack().await?, Settled::Acked, "the ack");
    Ok(())
}

check!(
    unknown,
    "ack.nack_unknown",
    Quick,
    NACK,
    "A nack of a position that was never handed out, or of another's, changes nothing."
);

async fn unknown(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let [delivery] = scene.take().await?;
    let unknown = delivery.receipt().advance(1_000);
    let names = (&scene.stream, &scene.group);
    let answer = scene
        .broker
        .nack(names.0, names.1, unknown, NackOptions::new())
        .await?;
    ensure_eq!(
        answer,
        Settled::NotPending,
        "the nack of a message that is not there"
    );
    let other = t.broker().await?;
    let discard = NackOptions::new().discard();
    ensure_refused(other.nack(names.0, names.1, delivery.receipt(), discard).await)?;
    scene.nothing().await?;
    ensure_eq!(delivery.ack().await?, Settled::Acked, "the owner's ack");
    Ok(())
}

check!(
    others_progress,
    "ack.nack_others_progress",
    Quick,
    NACK,
    "A message that fails each time holds no other up, and comes no oftener than its back-off allows."
);

async fn others_progress(t: &Trial) -> CheckResult {
    let others = t.scale(100, 1_000);
    let delay = Duration::from_millis(50);
    let options = Options::new()
        .max_retries(100_000)
        .retry_delay(delay)
        .set("max_delay", "50ms");
    let scene = Scene::new(t, options, others + 1).await?;
    let (since, mut done, mut failures) = (Instant::now(), BTreeSet::new(), 0_u128);
    let until = since + t.in_time();
    while done.len() < others {
        ensure!(Instant::now() < until, "{} of {others} were handled", done.len());
        for delivery in scene.read(1).await? {
            let number = scene.number(&delivery)?;
            if number == 0 {
                failures += 1;
                delivery.nack().await?;
            } else {
                ensure_eq!(delivery.ack().await?, Settled::Acked, "the ack of {number}");
                done.insert(number);
            }
        }
    }
    let [again] = scene.take().await?;
    ensure_eq!(scene.number(&again)?, 0, "the message that is left");
    let most = since.elapsed().as_millis() / delay.as_millis() + 1;
    ensure!(
        failures <= most,
        "it came {failures} times in {:?}, at most {most} fit a back-off of {delay:?}",
        since.elapsed()
    );
    again.ack().await?;
    Ok(())
}
