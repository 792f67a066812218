//! What takes effect together.

use broker_core::{Capabilities, ErrorKind, Message, Settled};

use super::scene::{KEY, Scene};
use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

const PUBLISH: Gate = Gate::needs(Capabilities::TRANSACTIONS.union(Capabilities::BASIC_PUBSUB));
const SETTLE: Gate = Gate::needs(
    Capabilities::TRANSACTIONS
        .union(Capabilities::PUBLISH)
        .union(Capabilities::ACK_NACK),
);

check!(
    commit,
    "tx.commit",
    Quick,
    SETTLE,
    "What a transaction publishes and settles takes effect when it is committed, and not before."
);

async fn commit(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let (broker, outs) = (&scene.broker, [t.stream("one"), t.stream("other")]);
    for out in &outs {
        broker.read(out, &scene.group, 1).await?;
    }
    let [done, kept] = scene.take().await?;
    let transactor = broker.transactor(t.group("commit")).await?;
    let mut transaction = transactor.begin();
    for (out, text) in [(&outs[0], "a"), (&outs[1], "b"), (&outs[0], "c")] {
        transaction.publish(out, Message::text(text).key(KEY))?;
    }
    transaction.ack(&done)?;
    for out in &outs {
        t.nothing(broker, out, &scene.group).await?;
    }
    let ids = transaction.commit().await?;
    let [a, b, c] = ids.as_slice() else {
        return Err(Stop::failed(format!("{} ids for 3 messages", ids.len())));
    };
    for (out, expected) in outs.iter().zip([vec![("a", a), ("c", c)], vec![("b", b)]]) {
        let read = t.read(broker, out, &scene.group, expected.len()).await?;
        let read: Vec<_> = read
            .iter()
            .map(|delivery| (delivery.payload().clone(), delivery.id()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(text, id)| (text.as_bytes().to_vec().into(), (*id).clone()))
            .collect();
        ensure_eq!(read, expected, "what was published");
    }
    ensure_eq!(
        done.ack().await?,
        Settled::AlreadySettled,
        "the ack after the commit"
    );
    ensure_eq!(kept.ack().await?, Settled::Acked, "the ack of what was not in it");
    scene.nothing().await
}

check!(
    abort,
    "tx.abort",
    Quick,
    SETTLE,
    "What a transaction was given takes no effect when it is given up."
);

async fn abort(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 1).await?;
    let (broker, out) = (&scene.broker, t.stream("out"));
    broker.read(&out, &scene.group, 1).await?;
    let [delivery] = scene.take().await?;
    let transactor = broker.transactor(t.group("abort")).await?;
    for explicit in [true, false] {
        let mut transaction = transactor.begin();
        transaction.publish(&out, Message::text("never"))?;
        transaction.ack(&delivery)?;
        if explicit {
            transaction.abort();
        }
    }
    t.nothing(broker, &out, &scene.group).await?;
    ensure_eq!(delivery.nack().await?, Settled::Nacked, "the nack after that");
    let [again] = scene.take().await?;
    ensure_eq!(again.ack().await?, Settled::Acked, "its ack");
    Ok(())
}

check!(
    refused,
    "tx.refused",
    Quick,
    SETTLE,
    "A transaction with a delivery that can't be settled fails as a whole: nothing is published, nothing settled."
);

async fn refused(t: &Trial) -> CheckResult {
    let scene = Scene::new(t, Options::new(), 2).await?;
    let (broker, out) = (&scene.broker, t.stream("out"));
    broker.read(&out, &scene.group, 1).await?;
    let [good, settled] = scene.take().await?;
    ensure_eq!(settled.ack().await?, Settled::Acked, "the ack before");
    let transactor = broker.transactor(t.group("refused")).await?;
    let mut transaction = transactor.begin();
    transaction.publish(&out, Message::text("never"))?;
    transaction.ack(&good)?;
    transaction.ack(&settled)?;
    match transaction.commit().await {
        Ok(_) => {
            return Err(Stop::failed(
                "a delivery that was settled before was settled again",
            ));
        }
        Err(error) => ensure_eq!(error.kind(), ErrorKind::Stale, "the error"),
    }
    t.nothing(broker, &out, &scene.group).await?;
    let mut transaction = transactor.begin();
    transaction.publish(&out, Message::text("now"))?;
    transaction.ack(&good)?;
    transaction.commit().await?;
    let read = t.read(broker, &out, &scene.group, 1).await?;
    ensure!(
        read.iter().all(|delivery| delivery.payload().as_ref() == b"now"),
        "a transaction that failed was published with the next one"
    );
    t.nothing(broker, &out, &scene.group).await
}

check!(
    fenced,
    "tx.fenced",
    Quick,
    PUBLISH,
    "Whoever opens a transactor fences who had it before: that one commits nothing any more."
);

async fn fenced(t: &Trial) -> CheckResult {
    let (first, second) = (t.broker().await?, t.broker().await?);
    let (out, name) = (t.stream("out"), t.group("fenced"));
    let mut reader = t.reader(&second, &out).await?;
    let old = first.transactor(&name).await?;
    let commit = async |transactor: &broker_core::Transactor, text: &str| {
        let mut transaction = transactor.begin();
        transaction.publish(&out, Message::text(text.to_owned()))?;
        transaction.commit().await
    };
    commit(&old, "before").await?;
    let new = second.transactor(&name).await?;
    for _ in 0..2 {
        match commit(&old, "fenced").await {
            Ok(_) => return Err(Stop::failed("a transactor that another one opened goes on")),
            Err(error) => ensure_eq!(error.kind(), ErrorKind::Fenced, "the error"),
        }
    }
    commit(&new, "after").await?;
    for expected in ["before", "after"] {
        let delivery = reader.next_within(t.in_time()).await?;
        let seen = delivery.as_ref().map(|delivery| delivery.payload().as_ref());
        ensure_eq!(seen, Some(expected.as_bytes()), "what is seen");
    }
    Ok(())
}

check!(
    exactly_once,
    "tx.exactly_once",
    Quick,
    SETTLE,
    "What is read, published and acked in transactions comes out once, although some fail and consumers are replaced."
);

async fn exactly_once(t: &Trial) -> CheckResult {
    let count = t.scale(60, 3_000);
    let mut scene = Scene::new(t, Options::new(), count).await?;
    let (out, name) = (t.stream("out"), t.group("exactly"));
    scene.broker.read(&out, &scene.group, 1).await?;
    let (mut done, mut round) = (0, 0_usize);
    while done < count {
        let transactor = scene.broker.transactor(&name).await?;
        for _ in 0..4 {
            let wanted = (count - done).min(count / 12);
            let read = scene.read(wanted).await?;
            let mut transaction = transactor.begin();
            for delivery in &read {
                transaction.publish(&out, delivery.message().clone())?;
                transaction.ack(delivery)?;
            }
            round += 1;
            if round % 3 == 0 {
                transaction.abort();
                for delivery in &read {
                    delivery.nack().await?;
                }
                continue;
            }
            transaction.commit().await?;
            done += read.len();
            if done == count {
                break;
            }
        }
        scene = scene.restart(Options::new()).await?;
    }
    scene.nothing().await?;
    let published = t.read(&scene.broker, &out, &scene.group, count).await?;
    let mut numbers = scene.numbers(&published)?;
    numbers.sort_unstable();
    let distinct = {
        let mut distinct = numbers.clone();
        distinct.dedup();
        distinct.len()
    };
    ensure_eq!(
        (numbers.len(), distinct),
        (count, count),
        "messages that came out, and different ones"
    );
    t.nothing(&scene.broker, &out, &scene.group).await
}
