//! What publishing answers.

use std::collections::BTreeSet;

use broker_core::Capabilities;

use crate::check::check;
use crate::{CheckResult, Gate, Trial, ensure, ensure_eq};

check!(
    publish_returns_id,
    "pubsub.publish_returns_id",
    Quick,
    Gate::needs(Capabilities::PUBLISH),
    "Each publish answers an id of its own, from concurrent publishers too."
);

async fn publish_returns_id(t: &Trial) -> CheckResult {
    const PUBLISHERS: usize = 4;
    let (broker, stream) = (t.broker().await?, t.stream("a"));
    let each = t.scale(100, 10_000) / PUBLISHERS;
    let tasks: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (broker, stream) = (broker.clone(), stream.clone());
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..each {
                    ids.push(broker.publish(&stream, broker_core::Message::text("x")).await?);
                }
                Ok::<_, broker_core::Error>(ids)
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        for id in task.await.map_err(crate::Stop::failed)?? {
            ensure!(!id.to_string().is_empty(), "an id is empty");
            ensure!(ids.insert(id.clone()), "the id {id} came twice");
        }
    }
    ensure_eq!(ids.len(), each * PUBLISHERS, "ids");
    Ok(())
}
