//! Reads that wait.

use std::time::{Duration, Instant};

use broker_core::{Capabilities, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, ensure, ensure_eq, within};

const BLOCKING: Gate = Gate::needs(Capabilities::BLOCKING_READ.union(Capabilities::SIMPLE_QUEUING))
    .proves(Capabilities::BLOCKING_READ);

check!(
    returns_early,
    "block.returns_early",
    Quick,
    BLOCKING,
    "A message that comes 300 ms into a wait of 5 s is returned within half a second of its coming."
);

async fn returns_early(t: &Trial) -> CheckResult {
    let (broker, other, stream, group) = (t.broker().await?, t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    // What the first publish takes to connect is no part of a reader's waking.
    other.publish(&t.stream("b"), Message::text("first")).await?;
    let publishing = {
        let stream = stream.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let at = Instant::now();
            other.publish(&stream, Message::text("x")).await.map(|_| at)
        })
    };
    let batch = broker
        .read_wait(&stream, &group, 10, Duration::from_secs(5))
        .await?;
    let came = Instant::now();
    let published = publishing.await.map_err(Stop::failed)??;
    ensure_eq!(batch.len(), 1, "messages");
    let late = came.saturating_duration_since(published);
    ensure!(
        late < t.at_most(Duration::from_millis(500)),
        "it came {late:?} after its publishing began"
    );
    Ok(())
}

check!(
    partial_returns,
    "block.partial_returns",
    Quick,
    BLOCKING,
    "Where some of what is asked for is there, a read that may wait returns it at once."
);

async fn partial_returns(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    let two = vec![Message::text("1").key("k"), Message::text("2").key("k")];
    broker.publish_batch(&stream, two).await?.into_ids()?;
    let start = Instant::now();
    let mut got = 0;
    let mut held = Vec::new();
    while got < 2 {
        let batch = broker
            .read_wait(&stream, &group, 10, Duration::from_secs(5))
            .await?;
        ensure!(!batch.is_empty(), "{got} of 2 came although both were there");
        got += batch.len();
        held.push(batch);
    }
    let took = start.elapsed();
    ensure_eq!(got, 2, "messages");
    ensure!(took < t.at_most(Duration::from_secs(1)), "it took {took:?}");
    Ok(())
}

check!(
    timeout,
    "block.timeout",
    Quick,
    BLOCKING,
    "Where nothing comes, a wait of one second ends after one second, with an empty batch."
);

async fn timeout(t: &Trial) -> CheckResult {
    waits(t, Duration::from_secs(1)).await
}

check!(
    long_wait,
    "block.long_wait",
    Full,
    BLOCKING,
    "A wait that is longer than a client library's usual response timeout is no error."
);

async fn long_wait(t: &Trial) -> CheckResult {
    waits(t, Duration::from_secs(3)).await
}

async fn waits(t: &Trial, wait: Duration) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    drop(broker.subscribe(&stream, &group).start().await?);
    let start = Instant::now();
    let batch = broker.read_wait(&stream, &group, 10, wait).await?;
    let took = start.elapsed();
    ensure!(batch.is_empty(), "{} messages came from nowhere", batch.len());
    ensure!(
        took >= wait.mul_f64(0.95),
        "a wait of {wait:?} ended after {took:?}"
    );
    ensure!(
        took <= wait + t.at_most(Duration::from_millis(500)),
        "a wait of {wait:?} ended after {took:?}"
    );
    Ok(())
}

check!(
    does_not_block_publish,
    "block.does_not_block_publish",
    Quick,
    BLOCKING,
    "While a reader waits, publishing, reading elsewhere, settling and pinging on the same broker go on."
);

async fn does_not_block_publish(t: &Trial) -> CheckResult {
    let (broker, stream, other) = (t.broker().await?, t.stream("a"), t.stream("b"));
    let group = t.group("g");
    for stream in [&stream, &other] {
        t.group_before(&broker, stream, &group).await?;
    }
    // The warm-up: names are resolved when the clock starts.
    broker.publish(&other, Message::text("x")).await?;
    let deliveries = t.read(&broker, &other, &group, 1).await?;
    let waiting = {
        let (broker, stream, group) = (broker.clone(), stream.clone(), group.clone());
        tokio::spawn(async move {
            broker
                .read_wait(&stream, &group, 1, Duration::from_secs(20))
                .await
                .map(|b| b.len())
        })
    };
    // The reader shall be waiting by now; the law holds as well where it is not.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let limit = t.at_most(Duration::from_millis(500));
    let calls = async {
        broker.publish(&other, Message::text("y")).await?;
        broker.ping().await?;
        for delivery in &deliveries {
            if t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
                delivery.ack().await?;
            }
        }
        Ok::<_, Stop>(())
    };
    within(limit, "publish, ping and ack beside a reader that waits", calls).await??;
    ensure!(!waiting.is_finished(), "the reader did not wait");
    broker.publish(&stream, Message::text("for the reader")).await?;
    let got = waiting.await.map_err(Stop::failed)??;
    ensure_eq!(got, 1, "what the waiting reader got");
    Ok(())
}

check!(
    many_readers,
    "block.many_readers",
    Full,
    BLOCKING,
    "Fifty readers wait on one broker at once, and each is served."
);

async fn many_readers(t: &Trial) -> CheckResult {
    const READERS: usize = 50;
    let broker = t.broker().await?;
    let streams: Vec<_> = (0..READERS).map(|number| t.stream(&number.to_string())).collect();
    let mut readers = Vec::new();
    for stream in &streams {
        t.group_before(&broker, stream, &t.group("g")).await?;
    }
    for stream in &streams {
        let (broker, stream, group) = (broker.clone(), stream.clone(), t.group("g"));
        let wait = t.in_time();
        readers.push(tokio::spawn(async move {
            broker.read_wait(&stream, &group, 1, wait).await.map(|b| b.len())
        }));
    }
    for stream in &streams {
        broker.publish(stream, Message::text("x")).await?;
    }
    for (number, reader) in readers.into_iter().enumerate() {
        ensure_eq!(
            reader.await.map_err(Stop::failed)??,
            1,
            "what reader {number} got"
        );
    }
    Ok(())
}
