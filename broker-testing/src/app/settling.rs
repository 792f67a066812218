//! Waiting until nothing is left to do.

use std::collections::BTreeSet;
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::{Capabilities, Result, StreamName, StreamPattern};
use tokio::time::Instant;

use super::test_app::TestApp;

/// Bounds of the pause between two looks, which is longer the longer nothing changes, so that days on a paused clock are
/// few looks.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60);
const PART: u32 = 16;

/// In real time nobody waits longer than this, whatever the test's clock says.
const REAL: Duration = Duration::from_secs(120);

/// How often nothing may have changed before it counts as the end, on brokers that know of no backlog.
const QUIET: u32 = 3;

/// Waits until nothing is left to do; what is left, where that takes too long.
pub(super) async fn settled(app: &TestApp) -> Result<(), String> {
    let (until, began) = (Instant::now() + app.patience, std::time::Instant::now());
    let (mut changed_at, mut quiet, mut before) = (Instant::now(), 0, None);
    loop {
        // Whoever can go on does so before the clock moves.
        let pause = (changed_at.elapsed() / PART).clamp(SHORTEST, LONGEST);
        tokio::time::sleep(pause).await;
        let left = left(app).await.map_err(|error| error.to_string())?;
        let now = (
            app.calls.count(),
            app.tapes.values().map(|tape| tape.len()).sum::<usize>(),
        );
        let changed = before.replace(now) != Some(now);
        if left.is_empty() && !changed {
            quiet += 1;
            if quiet >= QUIET {
                return Ok(());
            }
            continue;
        }
        quiet = 0;
        if changed {
            changed_at = Instant::now();
        }
        if Instant::now() >= until || began.elapsed() >= REAL {
            return Err(format!("messages are left unsettled: {}", left.join("; ")));
        }
    }
}

/// What is left to do, in words.
async fn left(app: &TestApp) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let (_, running) = app.calls.count();
    if running > 0 {
        left.push(format!("{running} handlers are running"));
    }
    let resting = resting(app);
    if resting > 0 {
        left.push(format!("{resting} messages rest before they are tried again"));
    }
    for broker in app.brokers.iter() {
        let delayed = broker.health_stats().await.details;
        let delayed = delayed.iter().find(|(name, _)| name == "delayed");
        if let Some((_, count)) = delayed.filter(|(_, count)| count != "0") {
            left.push(format!("{count} messages are delayed"));
        }
        if broker.has_capability(Capabilities::CONSUMER_GROUPS) {
            for stream in broker.streams().await? {
                left.extend(behind(app, broker, &stream).await?);
            }
        }
    }
    Ok(left)
}

/// The groups of a stream that have something to do and a subscriber to do it.
async fn behind(app: &TestApp, broker: &Broker, stream: &StreamName) -> Result<Vec<String>> {
    let plan = app.engine.plan();
    let handled = |group: &str| {
        plan.entries.iter().any(|entry| {
            entry.broker == broker.name() && entry.group == group && is_of(&entry.stream, stream)
        })
    };
    let groups = broker.groups(stream).await?;
    let busy = groups
        .iter()
        .filter(|info| info.pending + info.lag > 0 && handled(info.group.as_str()));
    Ok(busy
        .map(|info| {
            format!(
                "{stream}/{}: {} to be handled, {} handed out",
                info.group, info.lag, info.pending
            )
        })
        .collect())
}

fn is_of(source: &str, stream: &StreamName) -> bool {
    source == stream.as_str()
        || (StreamPattern::is_pattern(source)
            && StreamPattern::new(source).is_ok_and(|pattern| pattern.matches(stream.as_str())))
}

/// Messages that wait within the engine: on a broker that takes no refusals, it tries again itself.
fn resting(app: &TestApp) -> usize {
    let receipt = app.engine.receipt();
    let tries_itself = |name: &str| {
        let broker = app.brokers.get(name);
        broker.is_ok_and(|broker| !broker.has_capability(Capabilities::MESSAGE_REJECTION))
    };
    let groups: BTreeSet<_> = app
        .engine
        .plan()
        .entries
        .into_iter()
        .filter(|entry| tries_itself(&entry.broker))
        .map(|entry| entry.group)
        .collect();
    let resting = groups.iter().map(|group| {
        let tally = receipt.of_group(group);
        let given_up = tally.dead.saturating_sub(tally.undecodable);
        let given_up = usize::try_from(given_up).unwrap_or(usize::MAX);
        app.calls.failing(group).saturating_sub(given_up)
    });
    resting.sum()
}
