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
    for tier in Tier::ALL {
        let partitions = match tier {
            Tier::EnterpriseStreaming => "&partitions=3",
            _ => "",
        };
        let report = run(&suite(tier.name(), &format!("{}{partitions}", tier.name())), &[]).unwrap();
        assert_eq!(report.declared, tier.capabilities());
    }
}

#[test]
fn each_flag_that_is_taken_away_has_a_twin_that_passes() {
    for flag in Capabilities::all().flags() {
        let name = flag.name().unwrap();
        let all = run(&suite("whole", "ENTERPRISE_STREAMING"), &["caps.stable"])
            .unwrap()
            .declared;
        let lowered = suite(name, &format!("ENTERPRISE_STREAMING,-{name}"));
        let report = run(&lowered, &["caps."]).unwrap();
        assert!(!report.declared.contains(flag), "{name} is still claimed");
        let twins = report
            .checks
            .iter()
            .filter(|check| check.id.starts_with("caps.unsupported.") && check.outcome == Outcome::Passed)
            .count();
        // One for the adapter itself, and at least one for the flag where it is of those with an operation.
        assert!(
            twins > usize::from(all.contains(flag)),
            "no twin was exercised for {name}"
        );
    }
}
