//! What a run is told as: no run that left something out looks like one that did not.

use std::process::ExitCode;

use broker_core::Result;
use broker_testkit::report::Proof;
use broker_testkit::{
    CHECKS, Check, CheckResult, Gate, Level, Outcome, Part, Report, Stop, Suite, Trial, UrlHarness,
    not_exercised,
};

fn suite(name: &str) -> Suite {
    Suite::new(UrlHarness::new(
        &broker_inline::PROVIDER,
        format!("inline://report-{name}?capabilities=BASIC_PUBSUB"),
    ))
}

fn without_server(suite: Suite) -> Suite {
    Part::ALL
        .into_iter()
        .fold(suite, |suite, part| suite.absent(part, "there is no server"))
}

fn run(suite: &Suite, filters: &[&str]) -> Result<Report> {
    let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
    suite.run(Level::Quick, &filters)
}

#[test]
fn what_the_harness_lacks_is_a_problem_until_somebody_says_why() {
    let report = run(&suite("lacking"), &[]).unwrap();
    assert_eq!(report.count(Outcome::Failed), 0, "{report}");
    assert!(!report.is_good());
    assert_eq!(
        format!("{:?}", report.exit_code()),
        format!("{:?}", ExitCode::FAILURE)
    );
    assert!(
        report
            .problems
            .iter()
            .all(|problem| problem.contains("the harness has no"))
    );
    assert!(
        report
            .to_junit()
            .unwrap()
            .contains("<error message=\"not exercised")
    );

    let report = run(&without_server(suite("by-decision")), &[]).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(
        report
            .summary()
            .contains("allowed: lifecycle.connect_unreachable")
    );
}

#[test]
fn a_pinned_number_that_differs_is_a_problem() {
    let exercised = run(&without_server(suite("count")), &[]).unwrap().exercised();
    let pinned = |checks| without_server(suite("pinned")).expect_exercised(Level::Quick, checks);
    assert!(run(&pinned(exercised), &[]).unwrap().is_good());
    let report = run(&pinned(exercised + 1), &[]).unwrap();
    assert!(!report.is_good());
    assert!(report.summary().contains("checks were exercised"));
}

#[test]
fn each_flag_is_proved_by_name_or_not_claimed() {
    let report = run(&without_server(suite("flags")), &[]).unwrap();
    let proof = |name: &str| report.flags.iter().find(|flag| flag.flag == name).unwrap();
    assert_eq!(proof("PUBLISH").proof, Proof::Proved);
    assert!(proof("SUBSCRIBE").checks.contains(&"pubsub.round_trip"));
    assert_eq!(proof("REPLAY").proof, Proof::NotClaimed);
}

#[test]
fn a_filtered_run_is_judged_by_its_checks_alone() {
    let report = run(&suite("filtered"), &["caps.tier", "read.count"]).unwrap();
    assert_eq!(report.checks.len(), 2);
    assert!(report.is_good(), "{report}");
    assert!(!run(&suite("nothing"), &["no.such.check"]).unwrap().is_good());
}

#[test]
fn json_and_junit_tell_each_check() {
    let report = run(&without_server(suite("formats")), &[]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["provider"], "inline");
    assert_eq!(json["level"], "quick");
    assert_eq!(json["declared"], serde_json::json!(["PUBLISH", "SUBSCRIBE"]));
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), report.checks.len());
    let check = checks.iter().find(|check| check["id"] == "read.count").unwrap();
    assert_eq!(check["outcome"], "not_claimed");
    let junit = report.to_junit().unwrap();
    for check in &report.checks {
        assert!(
            junit.contains(&format!("<testcase name=\"{}\"", check.id)),
            "{}",
            check.id
        );
    }
}

#[test]
fn ids_are_unique_and_laws_are_sentences() {
    assert_eq!(broker_testkit::catalogue().len(), CHECKS.len());
    for check in CHECKS {
        assert!(check.id.contains('.'), "{}", check.id);
        assert!(
            check.law.ends_with('.') && !check.law.contains('\n'),
            "{}: {}",
            check.id,
            check.law
        );
    }
}

/// Checks of an adapter's own, each ending in its own way.
#[expect(clippy::panic, reason = "one of the ways to end")]
static OWN: [Check; 4] = [
    own("own.passes", |_| Box::pin(async { Ok(()) })),
    own("own.fails", |_| {
        Box::pin(async { Err(Stop::failed("for a reason")) })
    }),
    own("own.panics", |_| Box::pin(async { panic!("out of the blue") })),
    own("own.lacks", |t| Box::pin(lacks(t))),
];

const fn own(
    id: &'static str,
    run: for<'a> fn(&'a Trial) -> broker_testkit::LocalBoxFuture<'a, CheckResult>,
) -> Check {
    Check {
        id,
        level: Level::Quick,
        gate: Gate::ANY,
        law: "It ends in its own way.",
        run,
    }
}

async fn lacks(_: &Trial) -> CheckResult {
    not_exercised!("no such machine")
}

#[test]
fn a_check_ends_in_one_of_four_ways_and_a_panic_is_a_failure() {
    let report = run(&suite("own").with_checks(&OWN), &["own."]).unwrap();
    let ended = |id: &str| {
        let check = report.checks.iter().find(|check| check.id == id).unwrap();
        (check.outcome, check.reason.clone().unwrap_or_default())
    };
    assert_eq!(ended("own.passes").0, Outcome::Passed);
    let (outcome, reason) = ended("own.fails");
    assert_eq!(outcome, Outcome::Failed);
    assert!(reason.starts_with("for a reason [report.rs:"), "{reason}");
    assert_eq!(
        ended("own.panics"),
        (Outcome::Failed, "panicked: out of the blue".to_owned())
    );
    assert_eq!(
        ended("own.lacks"),
        (Outcome::NotExercised, "no such machine".to_owned())
    );
}
