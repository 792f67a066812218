//! Names of streams, groups and consumers.

use broker_core::{BrokerEvent, Capabilities, ErrorKind, Message, StartPosition};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, ensure, ensure_eq, refused};

/// What no name may be.
const INVALID: [&str; 12] = [
    "", ".", "..", "a b", "a/b", "../etc", "a\0b", "a\r\nb", "naïve", "a*", "a{b}", "a?",
];

check!(
    invalid,
    "name.invalid",
    Quick,
    Gate::ANY,
    "Empty, too long and forbidden names are refused before any I/O, in every operation."
);

async fn invalid(t: &Trial) -> CheckResult {
    let broker = t.open(Options::new())?;
    let stream = t.stream("a");
    let mut events = broker.events();
    let long = "x".repeat(201);
    let kind = ErrorKind::InvalidName;
    for name in INVALID.into_iter().chain([long.as_str()]) {
        let what = name.escape_debug().to_string();
        refused(broker.publish(name, Message::text("x")).await, kind, &what)?;
        refused(broker.publish_batch(name, Vec::new()).await, kind, &what)?;
        refused(broker.publisher(name).build().await, kind, &what)?;
        refused(broker.read(name, "g", 1).await, kind, &what)?;
        refused(broker.read(&stream, name, 1).await, kind, &what)?;
        refused(broker.subscribe(name, "g").start().await, kind, &what)?;
        refused(broker.subscribe(&stream, name).start().await, kind, &what)?;
        refused(
            broker.create_group(&stream, name, StartPosition::Earliest).await,
            kind,
            &what,
        )?;
        refused(broker.delete_stream(name).await, kind, &what)?;
        refused(broker.delete_group(&stream, name, true).await, kind, &what)?;
        if name != "a*" {
            refused(broker.listen(name).start().await, kind, &what)?;
        }
        if t.has(Capabilities::CONSUMER_GROUPS) {
            refused(
                broker.subscribe(&stream, "g").consumer(name).start().await,
                kind,
                &what,
            )?;
        }
        if t.has(Capabilities::DEAD_LETTER_QUEUE) {
            refused(broker.dead_letters(name, "g"), kind, &what)?;
        }
    }
    let connected =
        std::iter::from_fn(|| events.try_recv().ok()).any(|event| event == BrokerEvent::Connected);
    ensure!(!connected, "it connected to refuse a name");
    Ok(())
}

check!(
    longest,
    "name.longest",
    Quick,
    Gate::needs(Capabilities::SIMPLE_QUEUING),
    "Names of 200 bytes and of every allowed character work from end to end, told apart to the last character."
);

async fn longest(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    for odd in ["._-:", ":..:", "UPPERlower0189", "-", "_", "x.", ".x"] {
        let padding = "x".repeat(199 - t.stream(odd).len());
        for padding in ["", &padding] {
            // They differ in the last character alone.
            let names = ["1", "2"].map(|last| format!("{odd}{padding}{last}"));
            let consumer = format!("{odd}{}", "x".repeat(200 - odd.len()));
            let mut readers = Vec::new();
            for (stream, group) in [(0, 0), (0, 1), (1, 0)] {
                let names = (names.get(stream).cloned(), names.get(group).cloned());
                let (stream, group) = (names.0.unwrap_or_default(), names.1.unwrap_or_default());
                let (stream, group) = (t.stream(&stream), t.group(&group));
                let subscribing = broker.subscribe(&stream, group).consumer(&consumer).start();
                readers.push((t.reader_of(subscribing.await?), stream));
            }
            for name in names.iter().rev() {
                let stream = t.stream(name);
                broker
                    .publish(&stream, Message::text(stream.clone()).key("k"))
                    .await?;
            }
            for (mut reader, stream) in readers {
                for it in reader.take(1).await? {
                    ensure_eq!(
                        it.message.payload().as_ref(),
                        stream.as_bytes(),
                        "what came on `{stream}`"
                    );
                    ensure_eq!(it.stream, stream, "the stream it is told to come from");
                }
            }
        }
    }
    Ok(())
}
