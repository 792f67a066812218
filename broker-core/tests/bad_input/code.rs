//! Brokers that are opened from code, and adapters that contradict themselves.

use std::time::Duration;

use broker_core::broker::{Broker, Brokers};
use broker_core::config::BrokerConfig;
use broker_core::{Capabilities, LostCapability};

use crate::support::{CLAIMS, Script, ScriptConfig, settings};

#[test]
fn code() {
    let zero = BrokerConfig {
        ping_timeout: Duration::ZERO,
        ..settings()
    };
    let following = || ScriptConfig::following(&Script::new(CLAIMS));
    let open = |config| {
        Broker::open_with("audit", config, following())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        open(zero),
        "config: brokers.audit.ping_timeout: a duration above zero is expected"
    );

    let demanding = BrokerConfig {
        require: Capabilities::REPLAY | Capabilities::RELIABLE_MESSAGING,
        ..settings()
    };
    let script = Script::new(CLAIMS);
    script.state().lost = vec![LostCapability {
        capability: Capabilities::REPLAY,
        reason: "mode `queue` keeps no history".to_owned(),
    }];
    let error = Broker::open_with("audit", demanding, ScriptConfig::following(&script)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config: brokers.audit.require: provider `script` lacks REPLAY (mode `queue` keeps no history); require less or choose another provider"
    );
    assert_eq!(script.state().calls.len(), 0);

    let mut refused = following();
    refused.pool_size = 0;
    let error = Broker::open_with("audit", settings(), refused).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config: brokers.audit.pool_size: a number from 1 is expected"
    );

    let builder = Brokers::builder().default(following()).default(following());
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "config: brokers.default: set twice; keep one, or give one another name"
    );
    assert_eq!(
        Brokers::builder()
            .named("audit", following())
            .build()
            .unwrap_err()
            .to_string(),
        "config: brokers.default: missing (configured: audit); add a `[brokers.default]` table with its `provider`"
    );
    let brokers = Brokers::builder()
        .default(following())
        .named("audit", following())
        .build()
        .unwrap();
    assert_eq!(
        brokers.get("adit").unwrap_err().to_string(),
        "not found: no broker is called `adit` (configured: audit, default); did you mean `audit`?"
    );
    assert_eq!(
        brokers.get("zzz").unwrap_err().to_string(),
        "not found: no broker is called `zzz` (configured: audit, default); add `[brokers.zzz]`"
    );
}

/// A mistake of an adapter's author is told before anybody relies on the flag.
#[test]
fn adapters_whose_flags_and_families_disagree() {
    for (claims, dead_letters, line) in [
        (
            CLAIMS,
            false,
            "the adapter claims DEAD_LETTER_QUEUE and hands out no family `dead_letters`; hand it out in `families`",
        ),
        (
            CLAIMS - Capabilities::DEAD_LETTER_QUEUE,
            true,
            "the adapter hands out the family `dead_letters` and does not claim DEAD_LETTER_QUEUE; claim it in `capabilities`",
        ),
        (
            CLAIMS - Capabilities::MESSAGE_REJECTION,
            true,
            "the adapter claims DELIVERY_GUARANTEES without MESSAGE_REJECTION, which it needs; claim both or neither",
        ),
        (
            Capabilities::BASIC_PUBSUB,
            false,
            "the adapter claims SUBSCRIBE with neither CONSUMER_GROUPS nor the family `endpoints`; add one of them",
        ),
        (
            Capabilities::SIMPLE_QUEUING | Capabilities::PATTERN_SUBSCRIPTION,
            false,
            "the adapter claims PATTERN_SUBSCRIPTION and hands out no family `endpoints`; hand it out in `families`",
        ),
        (
            Capabilities::SIMPLE_QUEUING | Capabilities::RETENTION,
            false,
            "the adapter claims RETENTION and hands out no family `retention`; hand it out in `families`",
        ),
    ] {
        let script = Script::new(claims);
        script.state().offers_dead_letters = dead_letters;
        let error = Broker::open(ScriptConfig::following(&script)).unwrap_err();
        assert_eq!(error.to_string(), format!("open (script): unexpected: {line}"));
    }
}
