//! The negative twins beyond publishing, reading and settling.

use std::time::{Duration, SystemTime};

use broker_core::base::TrimTo;
use broker_core::{Capabilities, Message, StartPosition};

use super::unsupported::{having, scene, untouched, without};
use crate::check::check;
use crate::{CheckResult, Trial, unsupported};

check!(
    dead_letters,
    "caps.unsupported.dead_letters",
    Quick,
    without(Capabilities::DEAD_LETTER_QUEUE),
    "Without DEAD_LETTER_QUEUE there are no dead letters to ask for."
);

async fn dead_letters(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let letters = async { s.broker.dead_letters(&s.stream, &s.group) };
    unsupported(
        Capabilities::DEAD_LETTER_QUEUE,
        s.provider,
        "dead_letters",
        letters,
    )
    .await?;
    untouched(t, &s).await
}

check!(
    replay,
    "caps.unsupported.replay",
    Quick,
    without(Capabilities::REPLAY),
    "Without REPLAY a group can't be moved and a listener can't start in the past."
);

async fn replay(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let (flag, start) = (Capabilities::REPLAY, StartPosition::Earliest);
    unsupported(
        flag,
        s.provider,
        "seek",
        s.broker.seek(&s.stream, &s.group, start.clone()),
    )
    .await?;
    if t.has(Capabilities::SUBSCRIBE) {
        let past = s.broker.listen(&s.stream).start_at(start).start();
        unsupported(flag, s.provider, "listen from the earliest", past).await?;
    }
    untouched(t, &s).await
}

check!(
    partitions,
    "caps.unsupported.partitions",
    Quick,
    without(Capabilities::STREAM_PARTITIONING),
    "Without STREAM_PARTITIONING there are no partitions to ask for."
);

async fn partitions(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let flag = Capabilities::STREAM_PARTITIONING;
    unsupported(
        flag,
        s.provider,
        "partition_count",
        s.broker.partition_count(&s.stream),
    )
    .await?;
    unsupported(
        flag,
        s.provider,
        "partitions",
        s.broker.partitions(&s.stream, &s.group),
    )
    .await?;
    untouched(t, &s).await
}

check!(
    pattern,
    "caps.unsupported.pattern",
    Quick,
    having(Capabilities::SUBSCRIBE, Capabilities::PATTERN_SUBSCRIPTION),
    "Without PATTERN_SUBSCRIPTION listening to a pattern is refused."
);

async fn pattern(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let pattern = format!("{}*", s.stream);
    let listening = s.broker.listen(pattern).start();
    unsupported(
        Capabilities::PATTERN_SUBSCRIPTION,
        s.provider,
        "listen to a pattern",
        listening,
    )
    .await
}

check!(
    delayed,
    "caps.unsupported.delayed",
    Quick,
    having(Capabilities::PUBLISH, Capabilities::DELAYED_DELIVERY),
    "Without DELAYED_DELIVERY a delayed message is refused and nothing is stored."
);

async fn delayed(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let flag = Capabilities::DELAYED_DELIVERY;
    let late = || Message::text("late").delay(Duration::from_millis(1));
    unsupported(flag, s.provider, "publish", s.broker.publish(&s.stream, late())).await?;
    let publisher = s.broker.publisher(&s.stream).build().await?;
    unsupported(flag, s.provider, "send", publisher.send(late())).await?;
    untouched(t, &s).await
}

check!(
    trim,
    "caps.unsupported.trim",
    Quick,
    without(Capabilities::RETENTION),
    "Without RETENTION trimming is refused."
);

async fn trim(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    for to in [TrimTo::Length(0), TrimTo::Time(SystemTime::now())] {
        let trimming = s.broker.trim(&s.stream, to, true);
        unsupported(Capabilities::RETENTION, s.provider, "trim", trimming).await?;
    }
    untouched(t, &s).await
}

check!(
    extend,
    "caps.unsupported.extend",
    Quick,
    having(
        Capabilities::CONSUMER_GROUPS.union(Capabilities::PUBLISH),
        Capabilities::LEASE_EXTENSION
    ),
    "Without LEASE_EXTENSION a lease can't be prolonged."
);

async fn extend(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    for delivery in t.read(&s.broker, &s.stream, &s.group, 1).await? {
        let longer = delivery.extend(Duration::from_secs(1));
        unsupported(Capabilities::LEASE_EXTENSION, s.provider, "extend", longer).await?;
    }
    Ok(())
}

check!(
    sequential,
    "caps.unsupported.sequential",
    Quick,
    having(Capabilities::CONSUMER_GROUPS, Capabilities::MESSAGE_ORDERING),
    "Without MESSAGE_ORDERING a sequential subscription is refused."
);

async fn sequential(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let strict = s.broker.subscribe(&s.stream, &s.group).sequential().start();
    unsupported(Capabilities::MESSAGE_ORDERING, s.provider, "sequential", strict).await?;
    untouched(t, &s).await
}

check!(
    transactions,
    "caps.unsupported.transactions",
    Quick,
    without(Capabilities::TRANSACTIONS),
    "Without TRANSACTIONS no transactor can be opened."
);

async fn transactions(t: &Trial) -> CheckResult {
    let s = scene(t).await?;
    let opening = s.broker.transactor("t");
    unsupported(Capabilities::TRANSACTIONS, s.provider, "transactor", opening).await?;
    untouched(t, &s).await
}
