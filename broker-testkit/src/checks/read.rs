//! What reading answers.

use broker_core::Capabilities;

use crate::check::check;
use crate::{CheckResult, Gate, Trial, ensure, ensure_eq};

const GROUPS: Gate = Gate::needs(Capabilities::CONSUMER_GROUPS);

check!(
    zero,
    "read.zero",
    Quick,
    GROUPS,
    "Reading at most zero messages answers none and takes none."
);

async fn zero(t: &Trial) -> CheckResult {
    let (broker, stream, group) = (t.broker().await?, t.stream("a"), t.group("g"));
    let ledger = t.ledger();
    broker.read(&stream, &group, 1).await?;
    ledger.publish(&broker, &stream).await?;
    ensure!(
        broker.read(&stream, &group, 0).await?.is_empty(),
        "asked for none, got some"
    );
    let deliveries = t.read(&broker, &stream, &group, 1).await?;
    for delivery in &deliveries {
        ensure_eq!(delivery.attempt(), 1, "the attempt after a read of zero");
        ledger.delivered(&group, delivery);
    }
    t.note(ledger.verify()?);
    Ok(())
}
