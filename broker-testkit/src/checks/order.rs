//! The order of one key's messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::broker::{Delivery, NackOptions};
use broker_core::{Capabilities, Settled, Subscription};
use tokio::time::Instant;

use super::scene::{KEY, Scene};
use crate::check::check;
use crate::{CheckResult, Gate, Ledger, Options, Reader, Stop, Trial, ensure, ensure_eq};

const ORDER: Gate = Gate::needs(Capabilities::MESSAGE_ORDERING);
const GROUPED: Gate =
    Gate::needs(Capabilities::MESSAGE_ORDERING.union(Capabilities::MESSAGE_ACKNOWLEDGEMENT))
        .proves(Capabilities::MESSAGE_ORDERING);
const PARKING: Gate = Gate::needs(Capabilities::MESSAGE_ORDERING.union(Capabilities::ACK_NACK))
    .proves(Capabilities::MESSAGE_ORDERING);

check!(
    fifo_single,
    "order.fifo_single",
    Quick,
    ORDER,
    "One consumer gets one publisher's messages of a key in publish order."
);

async fn fifo_single(t: &Trial) -> CheckResult {
    let (broker, stream, ledger) = (t.broker().await?, t.stream("s"), t.ledger());
    let mut reader = t.reader(&broker, &stream).await?;
    let count: usize = t.scale(1_000, 10_000);
    for _ in 0..count / 100 {
        ledger
            .publish_many(&broker, &stream, 0, &[KEY.to_owned()], 100)
            .await?;
    }
    for received in reader.take(count).await? {
        ledger.delivered("reader", &received.message);
    }
    t.note(ledger.verify_ordered()?);
    Ok(())
}

check!(
    batch_publish,
    "order.batch_publish",
    Quick,
    ORDER,
    "Messages keep the order in which they were handed to one publisher, whatever it makes of them on the way."
);

async fn batch_publish(t: &Trial) -> CheckResult {
    let (broker, stream, ledger) = (t.broker().await?, t.stream("s"), t.ledger());
    let mut reader = t.reader(&broker, &stream).await?;
    let count: usize = t.scale(500, 5_000);
    let publisher = broker
        .publisher(&stream)
        .linger(Duration::from_millis(1))
        .max_batch(7)
        .build()
        .await?;
    for chunk in 0..count / 50 {
        let messages: Vec<_> = (0..50).map(|_| ledger.message_of(0, Some(KEY), 0)).collect();
        // Batches of every size between one and fifty meet the publisher's own bound.
        let (head, tail) = messages.split_at((chunk * 7) % 50);
        for part in [head.to_vec(), tail.to_vec()] {
            if !part.is_empty() {
                ledger.published(&part.clone(), &publisher.send_batch(part).await?);
            }
        }
    }
    publisher.flush().await?;
    for received in reader.take(count / 50 * 50).await? {
        ledger.delivered("reader", &received.message);
    }
    t.note(ledger.verify_ordered()?);
    Ok(())
}

check!(
    per_key,
    "order.per_key",
    Quick,
    GROUPED,
    "In sequential mode each key's messages come in publish order to ten consumers that share a group."
);

async fn per_key(t: &Trial) -> CheckResult {
    let (broker, stream, group, ledger) = (
        t.broker().await?,
        t.stream("s"),
        t.group("g"),
        Arc::new(t.ledger()),
    );
    let keys: Vec<_> = (0..16).map(|key| format!("key-{key}")).collect();
    let count: usize = 16 * t.scale(16, 64);
    let left = Arc::new(AtomicUsize::new(count));
    let until = Instant::now() + t.in_time();
    let mut consumers = Vec::new();
    for number in 0..10 {
        let subscription = broker
            .subscribe(&stream, &group)
            .consumer(format!("consumer-{number}"))
            .sequential()
            .prefetch(8)
            .start()
            .await?;
        consumers.push((t.reader_of(subscription), group.clone()));
    }
    ledger.publish_many(&broker, &stream, 0, &keys, count).await?;
    let tasks: Vec<_> = consumers
        .into_iter()
        .map(|(reader, group)| {
            tokio::spawn(consume(
                reader,
                group,
                Arc::clone(&ledger),
                Arc::clone(&left),
                until,
            ))
        })
        .collect();
    for task in tasks {
        task.await.map_err(Stop::failed)??;
    }
    let verdict = ledger.verify_ordered()?;
    ensure_eq!(verdict.acked, count as u64, "acked messages");
    t.note(verdict);
    Ok(())
}

/// Handles one message after another until none is left: it is noted before its ack lets the next one of its key go.
async fn consume(
    mut reader: Reader,
    group: String,
    ledger: Arc<Ledger>,
    left: Arc<AtomicUsize>,
    until: Instant,
) -> CheckResult {
    while left.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        let Some(delivery) = reader.next_within(Duration::from_millis(20)).await? else {
            continue;
        };
        ledger.delivered(&group, &delivery);
        let answer = delivery.ack().await?;
        ledger.settled(&group, &delivery, answer);
        ensure_eq!(answer, Settled::Acked, "an ack");
        left.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}

check!(
    nack_blocks_key,
    "order.nack_blocks_key",
    Quick,
    PARKING,
    "In sequential mode a failing message parks its key until it is done, and only its key."
);

async fn nack_blocks_key(t: &Trial) -> CheckResult {
    let (broker, stream, group, ledger) = (t.broker().await?, t.stream("s"), t.group("g"), t.ledger());
    let subscription = sequential(&broker, &stream, &group).await?;
    let mut reader = t.reader_of(subscription);
    let keys = ["a".to_owned(), "b".to_owned()];
    ledger.publish_many(&broker, &stream, 0, &keys, 8).await?;
    let (mut seen, mut failed) = (Vec::new(), false);
    let delay = Duration::from_millis(500);
    let mut parked_until = None;
    while seen.len() < 8 {
        let Some(delivery) = next(t, &mut reader).await? else {
            return Err(Stop::failed(format!("after {seen:?} nothing came in time")));
        };
        let number = number(&ledger, &delivery)?;
        if number == 0 && !failed {
            failed = true;
            parked_until = Some(Instant::now() + delay);
            delivery.nack_with(NackOptions::new().delay(delay)).await?;
            continue;
        }
        let a_is_parked = parked_until.is_some_and(|until| Instant::now() < until);
        ensure!(
            !(a_is_parked && number % 2 == 0),
            "message {number} came while message 0 of its key was parked"
        );
        ensure_eq!(delivery.ack().await?, Settled::Acked, "the ack of {number}");
        seen.push(number);
    }
    let of_key = |rest| seen.iter().copied().filter(move |number| number % 2 == rest);
    ensure!(of_key(0).eq([0, 2, 4, 6]), "key a came as {seen:?}");
    ensure!(of_key(1).eq([1, 3, 5, 7]), "key b came as {seen:?}");
    ensure_eq!(seen.first(), Some(&1), "what came first while key a was parked");
    Ok(())
}

check!(
    dead_letter_frees_key,
    "order.dead_letter_frees_key",
    Quick,
    Gate::needs(Capabilities::MESSAGE_ORDERING.union(Capabilities::DEAD_LETTER_QUEUE))
        .proves(Capabilities::MESSAGE_ORDERING),
    "In sequential mode a key goes on once its failing message lies with the dead letters."
);

async fn dead_letter_frees_key(t: &Trial) -> CheckResult {
    let (broker, stream, group, ledger) = (
        t.broker_with(Options::new().max_retries(1)).await?,
        t.stream("s"),
        t.group("g"),
        t.ledger(),
    );
    let mut reader = t.reader_of(sequential(&broker, &stream, &group).await?);
    ledger
        .publish_many(&broker, &stream, 0, &[KEY.to_owned()], 2)
        .await?;
    for expected in [(0, 1), (0, 2), (1, 1)] {
        let Some(delivery) = next(t, &mut reader).await? else {
            return Err(Stop::failed(format!(
                "message and attempt {expected:?} did not come in time"
            )));
        };
        let came = (number(&ledger, &delivery)?, delivery.attempt());
        ensure_eq!(came, expected, "the next message and its attempt");
        if came.0 == 0 {
            delivery.nack().await?;
        } else {
            delivery.ack().await?;
        }
    }
    let depth = broker.dead_letters(&stream, &group)?.depth().await?;
    ensure_eq!(depth, 1, "dead letters");
    Ok(())
}

check!(
    pending_first,
    "order.pending_first",
    Quick,
    GROUPED,
    "In sequential mode a restart changes nothing: the unacked message comes before the later ones of its key."
);

async fn pending_first(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, super::scene::short_lease(t), 0).await?;
    let mut reader = t.reader_of(sequential(&scene.broker, &scene.stream, &scene.group).await?);
    scene.publish(3).await?;
    let first = next(t, &mut reader).await?;
    ensure!(first.is_some(), "no message came in time");
    drop((first, reader));
    let scene = scene.restart(Options::new()).await?;
    let mut reader = t.reader_of(sequential(&scene.broker, &scene.stream, &scene.group).await?);
    for expected in 0..3 {
        let Some(delivery) = next(t, &mut reader).await? else {
            return Err(Stop::failed(format!("message {expected} did not come in time")));
        };
        ensure_eq!(
            scene.number(&delivery)?,
            expected,
            "the next message after a restart"
        );
        ensure_eq!(
            delivery.attempt(),
            if expected == 0 { 2 } else { 1 },
            "the attempt of message {expected}"
        );
        delivery.ack().await?;
    }
    Ok(())
}

async fn sequential(broker: &broker_core::Broker, stream: &str, group: &str) -> CheckResult<Subscription> {
    // One at a time: what is read ahead of a dropped reader would be given back, and is not what is looked at here.
    Ok(broker
        .subscribe(stream, group)
        .sequential()
        .prefetch(1)
        .start()
        .await?)
}

async fn next(t: &Trial, reader: &mut Reader) -> CheckResult<Option<Delivery>> {
    reader.next_within(t.in_time()).await
}

fn number(ledger: &Ledger, delivery: &Delivery) -> CheckResult<u64> {
    ledger
        .read(delivery.message())
        .map(|entry| entry.sequence)
        .ok_or_else(|| Stop::failed("a message is not as it was published"))
}
