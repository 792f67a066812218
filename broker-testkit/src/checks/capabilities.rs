//! What the flags say of themselves.

use broker_core::{Capabilities, Message, Tier};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Stop, Trial, ensure, ensure_eq};

check!(
    tier_is_union,
    "caps.tier_is_union",
    Quick,
    Gate::ANY,
    "The tier is the highest one wholly contained in the flags; tiers nest, and extra flags are welcome."
);

async fn tier_is_union(t: &Trial) -> CheckResult {
    let flags = t.broker().await?.capabilities();
    let contained = |tier: &Tier| flags.contains(tier.capabilities());
    let highest = Tier::ALL.into_iter().rfind(contained);
    ensure_eq!(flags.tier(), highest, "the tier of {flags}");
    let count = Tier::ALL.iter().filter(|tier| contained(tier)).count();
    let nested = Tier::ALL.iter().take(count).all(contained);
    ensure!(nested, "{flags} contains a tier without those below it");
    Ok(())
}

check!(
    has_and_has_any,
    "caps.has_and_has_any",
    Quick,
    Gate::ANY,
    "has_capability needs all bits, has_any_capability one; the empty set is had by all and by none."
);

async fn has_and_has_any(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    let declared = broker.capabilities();
    let absent = Capabilities::all() - declared;
    ensure!(broker.has_capability(declared), "not all of its own flags");
    ensure!(broker.has_capability(Capabilities::empty()), "not the empty set");
    ensure!(
        !broker.has_any_capability(Capabilities::empty()),
        "any of the empty set"
    );
    ensure_eq!(
        broker.has_any_capability(Capabilities::all()),
        !declared.is_empty(),
        "any of all flags"
    );
    for flag in Capabilities::all().flags() {
        let has = declared.contains(flag);
        ensure_eq!(broker.has_capability(flag), has, "has {flag}");
        ensure_eq!(
            broker.has_any_capability(flag | absent),
            has,
            "has any of {flag} and the absent ones"
        );
        ensure_eq!(
            broker.has_capability(flag | declared),
            has,
            "has {flag} and its own"
        );
    }
    Ok(())
}

check!(
    implications,
    "caps.implications",
    Quick,
    Gate::ANY,
    "No flag is claimed without those that it is meaningless without."
);

async fn implications(t: &Trial) -> CheckResult {
    const NEEDS: [(Capabilities, Capabilities); 10] = [
        (Capabilities::CONSUMER_GROUPS, Capabilities::SUBSCRIBE),
        (
            Capabilities::MESSAGE_ACKNOWLEDGEMENT,
            Capabilities::CONSUMER_GROUPS,
        ),
        (Capabilities::MESSAGE_REJECTION, Capabilities::CONSUMER_GROUPS),
        (Capabilities::DELIVERY_GUARANTEES, Capabilities::ACK_NACK),
        (Capabilities::DEAD_LETTER_QUEUE, Capabilities::ACK_NACK),
        (
            Capabilities::LEASE_EXTENSION,
            Capabilities::MESSAGE_ACKNOWLEDGEMENT,
        ),
        (Capabilities::BLOCKING_READ, Capabilities::SUBSCRIBE),
        (Capabilities::REPLAY, Capabilities::SUBSCRIBE),
        (Capabilities::PATTERN_SUBSCRIPTION, Capabilities::SUBSCRIBE),
        (Capabilities::TRANSACTIONS, Capabilities::PUBLISH),
    ];
    let flags = t.broker().await?.capabilities();
    for (flag, needed) in NEEDS {
        let kept = !flags.contains(flag) || flags.contains(needed);
        ensure!(kept, "{flag} is claimed without {needed}");
    }
    let below = t.harness().open_base(&Options::new())?;
    below.families().check(below.capabilities())?;
    Ok(())
}

check!(
    stable,
    "caps.stable",
    Quick,
    Gate::ANY,
    "The flags are the same on every instance and at every time from connect to shutdown."
);

async fn stable(t: &Trial) -> CheckResult {
    let (broker, other, stream) = (t.broker().await?, t.broker().await?, t.stream("a"));
    let flags = broker.capabilities();
    ensure_eq!(other.capabilities(), flags, "the flags of a second instance");
    if t.has(Capabilities::PUBLISH) {
        broker.publish(&stream, Message::text("x")).await?;
    }
    if t.has(Capabilities::CONSUMER_GROUPS) {
        drop(broker.read(&stream, t.group("g"), 1).await?);
    }
    broker.ensure_connection().await?;
    let _ = broker.health_stats().await;
    ensure_eq!(broker.capabilities(), flags, "the flags after work");
    other.close().await?;
    ensure_eq!(
        broker.capabilities(),
        flags,
        "the flags after another instance closed"
    );
    Ok(())
}

check!(
    lost_have_reasons,
    "caps.lost_have_reasons",
    Quick,
    Gate::ANY,
    "What the provider can have and this instance has not is listed, each with its reason, and nothing else is."
);

async fn lost_have_reasons(t: &Trial) -> CheckResult {
    let broker = t.broker().await?;
    let (flags, lost) = (broker.capabilities(), broker.lost_capabilities());
    for lost in &lost {
        ensure!(
            !lost.reason.trim().is_empty(),
            "no reason why {} is lost",
            lost.capability
        );
        ensure!(
            !flags.intersects(lost.capability),
            "{} is both claimed and lost",
            lost.capability
        );
    }
    let claims = t.harness().provider().claims();
    if claims.is_empty() {
        return Err(Stop::NotClaimed(
            "the provider does not tell what it can be".to_owned(),
        ));
    }
    let most = claims
        .iter()
        .fold(Capabilities::empty(), |most, (_, claim)| most | *claim);
    ensure!(
        most.contains(flags),
        "{} is claimed beyond what the provider can be",
        flags - most
    );
    if let [(_, only)] = claims {
        let told = lost
            .iter()
            .fold(Capabilities::empty(), |told, lost| told | lost.capability);
        let untold = *only - flags - told;
        ensure!(untold.is_empty(), "{untold} is absent without a reason");
    }
    Ok(())
}
