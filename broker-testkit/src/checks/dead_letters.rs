//! What becomes of messages that fail: retried so often, so late, then kept apart.

use std::io;
use std::time::{Duration, SystemTime};

use broker_core::broker::NackOptions;
use broker_core::{Capabilities, DeadLetter, DeadLetterQuery, Message, Settled};
use tokio::time::Instant;

use super::scene::{Scene, short_lease};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const NACK: Gate = Gate::needs(Capabilities::ACK_NACK).proves(Capabilities::MESSAGE_REJECTION);
const DLQ: Gate = Gate::needs(Capabilities::DEAD_LETTER_QUEUE);

check!(
    backoff,
    "retry.backoff_schedule",
    Quick,
    NACK,
    "Each wait before a redelivery is that of the configured back-off, and never shorter."
);

async fn backoff(t: &Trial) -> CheckResult {
    let options = Options::new()
        .max_retries(10)
        .set("retry_delay", "50ms")
        .set("backoff_multiplier", 2.0)
        .set("max_delay", "150ms");
    let scene = Scene::new(t, options, 1).await?;
    let slack = t.at_most(Duration::from_secs(2));
    let mut nacked = None;
    for wait in [0, 50, 100, 150, 150] {
        let wait = Duration::from_millis(wait);
        let [delivery] = scene.take().await?;
        if let Some(since) = nacked {
            let gap = Instant::now().duration_since(since);
            ensure!(
                gap >= wait,
                "attempt {} came after {gap:?}, not {wait:?}",
                delivery.attempt()
            );
            ensure!(
                gap <= wait + slack,
                "attempt {} came only after {gap:?}, not {wait:?}",
                delivery.attempt()
            );
        }
        nacked = Some(Instant::now());
        delivery.nack().await?;
    }
    Ok(())
}

check!(
    max_attempts,
    "retry.max_attempts",
    Quick,
    DLQ.proves(Capabilities::DEAD_LETTER_QUEUE.union(Capabilities::MESSAGE_REJECTION)),
    "A message that always fails is delivered just as often as allowed, then lies once with the dead letters."
);

async fn max_attempts(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().max_retries(2), 1).await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    for attempt in 1..=3 {
        ensure_eq!(dead.depth().await?, 0, "dead letters before attempt {attempt}");
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), attempt, "the attempt");
        ensure_eq!(delivery.nack().await?, Settled::Nacked, "nack {attempt}");
    }
    scene.nothing().await?;
    ensure_eq!(dead.depth().await?, 1, "dead letters after the last attempt");
    Ok(())
}

check!(
    independent,
    "retry.independent",
    Quick,
    DLQ,
    "Messages that fail have counts of their own."
);

async fn independent(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().max_retries(2), 1).await?;
    let [first] = scene.take().await?;
    first.nack().await?;
    scene.publish(1).await?;
    let mut attempts = [1_u32, 0];
    while attempts != [3, 3] {
        let [delivery] = scene.take().await?;
        let number = usize::try_from(scene.number(&delivery)?).unwrap_or(usize::MAX);
        let Some(seen) = attempts.get_mut(number) else {
            return Err(Stop::failed(format!("message {number} was never published")));
        };
        *seen += 1;
        ensure_eq!(delivery.attempt(), *seen, "the attempt of message {number}");
        delivery.nack().await?;
    }
    scene.nothing().await?;
    let depth = scene
        .broker
        .dead_letters(&scene.stream, &scene.group)?
        .depth()
        .await?;
    ensure_eq!(depth, 2, "dead letters");
    Ok(())
}

check!(
    entry_complete,
    "dlq.entry_complete",
    Quick,
    DLQ,
    "A dead letter has the message as it was published, its origin, the failure, the attempts and both times."
);

async fn entry_complete(t: &Trial) -> CheckResult {
    let options = || Options::new().max_retries(1).consumer("tk-last-consumer");
    let scene = Scene::new(t, options(), 0).await?;
    let message = Message::new(vec![0, 159, 146, 150])
        .key("customer-3")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .id("order-7")
        .kind("order.placed")
        .content_type("application/octet-stream");
    let id = scene.broker.publish(&scene.stream, message.clone()).await?;
    let before = SystemTime::now();
    let [first] = scene.take().await?;
    let partition = first.receipt().partition;
    first
        .nack_with(
            NackOptions::new()
                .reason("the first failure")
                .delay(Duration::from_millis(20)),
        )
        .await?;
    let [second] = scene.take().await?;
    let cause = io::Error::new(io::ErrorKind::ConnectionRefused, MailboxFull);
    second.nack_with(NackOptions::new().error(&cause)).await?;
    let after = SystemTime::now();
    let letter = only(&scene).await?;
    ensure_eq!(letter.original_id, id, "original_id");
    ensure_eq!(letter.stream.as_str(), scene.stream, "stream");
    ensure_eq!(letter.group.as_str(), scene.group, "group");
    ensure_eq!(letter.partition, partition, "partition");
    ensure_eq!(letter.message, message, "message");
    ensure_eq!(letter.failure.reason, cause.to_string(), "failure.reason");
    ensure_eq!(letter.failure.chain, ["quota exceeded"], "failure.chain");
    ensure_eq!(letter.attempts, 2, "attempts");
    ensure_eq!(letter.consumer.as_str(), "tk-last-consumer", "consumer");
    // Servers keep times in milliseconds, and have a clock of their own.
    let slack = Duration::from_secs(1);
    let (first, last) = (letter.first_failed, letter.last_failed);
    ensure!(
        first < last,
        "first_failed {first:?} is not before last_failed {last:?}"
    );
    ensure!(
        first + slack >= before && last <= after + slack,
        "{first:?} to {last:?} is not when it failed, {before:?} to {after:?}"
    );
    Ok(())
}

/// An error with a source, as an application has them.
#[derive(Debug)]
struct MailboxFull;

impl std::fmt::Display for MailboxFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mailbox full")
    }
}

impl std::error::Error for MailboxFull {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        static BELOW: QuotaExceeded = QuotaExceeded;
        Some(&BELOW)
    }
}

#[derive(Debug)]
struct QuotaExceeded;

impl std::fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("quota exceeded")
    }
}

impl std::error::Error for QuotaExceeded {}

check!(
    worn_out,
    "dlq.worn_out",
    Quick,
    DLQ,
    "A message that is never settled, as when it kills its consumer each time, ends with the dead letters too."
);

async fn worn_out(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, short_lease(t).max_retries(1), 1).await?;
    for attempt in 1..=2 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), attempt, "the attempt");
    }
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    t.eventually("the message lies with the dead letters", || async {
        let batch = scene.broker.read(&scene.stream, &scene.group, 1).await?;
        ensure!(batch.is_empty(), "attempt 3 of 2 came");
        Ok(dead.depth().await? == 1)
    })
    .await?;
    let letter = only(&scene).await?;
    // The delivery that nobody was handed any more does not count.
    ensure_eq!(letter.attempts, 2, "the attempts of the dead letter");
    ensure!(!letter.failure.reason.is_empty(), "the letter has no reason");
    scene.nothing().await
}

check!(
    per_group,
    "dlq.per_group",
    Quick,
    DLQ,
    "A group's failure leaves the message to the other groups, and its dead letters are its own."
);

async fn per_group(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 0).await?;
    let other = t.group("other");
    scene.broker.read(&scene.stream, &other, 1).await?;
    scene.publish(1).await?;
    scene.bury(1).await?;
    let others = t.read(&scene.broker, &scene.stream, &other, 1).await?;
    ensure_eq!(scene.numbers(&others)?, [0], "the other group's message");
    ensure_eq!(
        others.first().map(|delivery| delivery.attempt()),
        Some(1),
        "the other group's attempt"
    );
    let depth = |group: &str| scene.broker.dead_letters(&scene.stream, group);
    ensure_eq!(
        depth(&scene.group)?.depth().await?,
        1,
        "dead letters of the group that failed"
    );
    ensure_eq!(
        depth(&other)?.depth().await?,
        0,
        "dead letters of the other group"
    );
    scene.ack_all(others).await
}

check!(
    disabled,
    "dlq.disabled",
    Quick,
    NACK,
    "With enable_dlq off, a message that failed too often is discarded and counted, and nothing is kept of it."
);

async fn disabled(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().max_retries(1).enable_dlq(false), 1).await?;
    for attempt in 1..=2 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), attempt, "the attempt");
        delivery.nack().await?;
    }
    scene.nothing().await?;
    scene.one_is_discarded().await
}

check!(
    no_loop,
    "dlq.no_loop",
    Quick,
    DLQ,
    "A dead letter that is replayed and fails again is one dead letter again, of the same message and stream."
);

async fn no_loop(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new().max_retries(0), 0).await?;
    let message = Message::text("fails each time").key("k");
    scene.broker.publish(&scene.stream, message.clone()).await?;
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    for round in 1..=3 {
        let [delivery] = scene.take().await?;
        ensure_eq!(delivery.attempt(), 1, "the attempt in round {round}");
        delivery.nack().await?;
        let letter = only(&scene).await?;
        ensure_eq!(
            letter.stream.as_str(),
            scene.stream,
            "its stream in round {round}"
        );
        ensure_eq!(
            letter.message.payload(),
            message.payload(),
            "its payload in round {round}"
        );
        ensure_eq!(letter.attempts, 1, "its attempts in round {round}");
        dead.replay(&letter.id).await?;
        ensure_eq!(dead.depth().await?, 0, "dead letters after replay {round}");
    }
    let [last] = scene.take().await?;
    ensure_eq!(last.ack().await?, Settled::Acked, "the last ack");
    scene.nothing().await
}

/// The only dead letter of the scene's group.
async fn only(scene: &Scene<'_>) -> CheckResult<DeadLetter> {
    let dead = scene.broker.dead_letters(&scene.stream, &scene.group)?;
    let mut letters = dead.list(DeadLetterQuery::default()).await?.letters;
    match (letters.pop(), letters.len()) {
        (Some(letter), 0) => Ok(letter),
        (_, more) => Err(Stop::failed(format!(
            "{} dead letters, one is expected",
            more + 1
        ))),
    }
}
