//! The suite on the in-process broker lowered to weaker ones: the negative twins are all exercised somewhere.

use std::time::Duration;

use broker_core::{Capabilities, Result, Tier};
use broker_testkit::{Level, Outcome, Part, Report, Suite, Timing, UrlHarness};

fn suite(name: &str, capabilities: &str) -> Suite {
    let timing = Timing {
        lease: Duration::from_millis(300),
        retry_delay: Duration::from_millis(20),
        quiet: Duration::from_millis(50),
        ..Timing::default()
    };
    let url = format!("inline://lowered-{name}?capabilities={capabilities}");
    let suite = Suite::new(UrlHarness::new(&broker_inline::PROVIDER, url).timing(timing));
    Part::ALL
        .into_iter()
        .fold(suite, |suite, part| suite.absent(part, "there is no server"))
}

fn run(suite: &Suite, filters: &[&str]) -> Result<Report> {
    let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
    let report = suite.run(Level::Quick, &filters)?;
    assert!(report.is_good(), "{report}");
    Ok(report)
}

#[test]
fn each_tier_is_certified_on_its_own() {
    at_once(Tier::ALL, |tier| {
        let partitions = match tier {
            Tier::EnterpriseStreaming => "&partitions=3",
            _ => "",
        };
        let suite = suite(tier.name(), &format!("{}{partitions}", tier.name()));
        let report = run(&suite, &[]).unwrap();
        assert_eq!(report.declared, tier.capabilities());
    });
}

/// Each flag whose absence shows in an operation, with that operation's twin.
const TWINS: [(Capabilities, &str); 15] = [
    (Capabilities::PUBLISH, "publish"),
    (Capabilities::SUBSCRIBE, "subscribe"),
    (Capabilities::CONSUMER_GROUPS, "groups"),
    (Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack"),
    (Capabilities::MESSAGE_ACKNOWLEDGEMENT, "ack_later"),
    (Capabilities::MESSAGE_REJECTION, "nack"),
    (Capabilities::MESSAGE_ORDERING, "sequential"),
    (Capabilities::BLOCKING_READ, "blocking_read"),
    (Capabilities::DEAD_LETTER_QUEUE, "dead_letters"),
    (Capabilities::REPLAY, "replay"),
    (Capabilities::STREAM_PARTITIONING, "partitions"),
    (Capabilities::PATTERN_SUBSCRIPTION, "pattern"),
    (Capabilities::DELAYED_DELIVERY, "delayed"),
    (Capabilities::RETENTION, "trim"),
    (Capabilities::LEASE_EXTENSION, "extend"),
];

#[test]
fn each_flag_that_is_taken_away_has_a_twin_that_passes() {
    at_once(TWINS, |(flag, twin)| {
        let name = flag.name().unwrap();
        let lowered = suite(&format!("{name}-{twin}"), &format!("-{name}"));
        let report = run(&lowered, &["caps."]).unwrap();
        assert!(!report.declared.contains(flag), "{name} is still claimed");
        let id = format!("caps.unsupported.{twin}");
        let check = report.checks.iter().find(|check| check.id == id);
        let outcome = check.map(|check| check.outcome);
        assert_eq!(outcome, Some(Outcome::Passed), "the twin of {name}: {report}");
    });
}

/// Runs each on a thread of its own: they spend their time waiting.
fn at_once<T: Send>(all: impl IntoIterator<Item = T>, law: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for one in all {
            scope.spawn(|| law(one));
        }
    });
}
