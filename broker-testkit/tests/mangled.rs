//! Brokers that mangle what passes through them are each caught by name, and the same one without a bug passes.
//!
//! A program of its own rather than tests: they spend their time waiting, so all run at once.

mod mangling;

use broker_testkit::{Level, Outcome, Part, Suite};
use libtest_mimic::{Arguments, Failed, Trial};
use mangling::ManglingHarness;

/// A bug, the level that finds it, and the checks that must fail for it.
type Case = (&'static str, Level, &'static [&'static str]);

const CASES: [Case; 29] = [
    (
        "payload_is_text",
        Level::Quick,
        &["payload.bad_utf8", "pubsub.round_trip"],
    ),
    (
        "payload_ends_at_nul",
        Level::Quick,
        &["payload.bad_utf8", "pubsub.round_trip"],
    ),
    ("empty_is_nothing", Level::Quick, &["payload.empty"]),
    (
        "key_is_text",
        Level::Quick,
        &["payload.bad_utf8", "pubsub.round_trip"],
    ),
    (
        "header_names_are_lower",
        Level::Quick,
        &["headers.round_trip", "pubsub.round_trip"],
    ),
    (
        "header_values_are_lines",
        Level::Quick,
        &["headers.round_trip", "headers.bad_utf8"],
    ),
    (
        "header_values_are_text",
        Level::Quick,
        &["headers.bad_utf8", "pubsub.round_trip"],
    ),
    ("empty_header_is_none", Level::Quick, &["headers.round_trip"]),
    (
        "shows_own_headers",
        Level::Quick,
        &["headers.reserved", "headers.trace_context"],
    ),
    ("loses_content_type", Level::Quick, &["pubsub.round_trip"]),
    ("names_are_flattened", Level::Quick, &["pubsub.topic_isolation"]),
    ("names_are_lower", Level::Quick, &["pubsub.topic_isolation"]),
    ("names_are_cut", Level::Quick, &["name.longest"]),
    ("forgets_delay", Level::Quick, &["pubsub.delayed"]),
    ("delay_holds_all", Level::Quick, &["pubsub.delayed"]),
    ("always_earliest", Level::Quick, &["groups.created_after_publish"]),
    ("always_latest", Level::Quick, &["groups.created_after_publish"]),
    (
        "group_per_consumer",
        Level::Quick,
        &[
            "groups.single_owner",
            "groups.load_balanced",
            "groups.position_survives_instance",
            "groups.concurrent_creation",
        ],
    ),
    ("zero_is_one", Level::Quick, &["read.zero"]),
    (
        "waits_for_all",
        Level::Quick,
        &["block.partial_returns", "block.returns_early"],
    ),
    (
        "never_waits",
        Level::Quick,
        &["block.timeout", "block.returns_early"],
    ),
    (
        "opening_starts_task",
        Level::Quick,
        &["lifecycle.construct_no_io"],
    ),
    ("leaves_tasks", Level::Full, &["lifecycle.drop_without_close"]),
    ("closes_all", Level::Quick, &["lifecycle.two_instances"]),
    ("loses_flags", Level::Quick, &["caps.lost_have_reasons"]),
    ("answers_for_few", Level::Quick, &["pubsub.batch_publish"]),
    (
        "deletes_pending",
        Level::Quick,
        &["groups.delete_refuses_pending"],
    ),
    ("create_moves", Level::Quick, &["groups.create"]),
    ("removed_takes_all", Level::Quick, &["groups.remove_consumer"]),
];

/// The sections of which a broker without a bug keeps every law.
const SECTIONS: [&str; 9] = [
    "caps.",
    "lifecycle.",
    "pubsub.",
    "payload.",
    "headers.",
    "name.",
    "read.",
    "block.",
    "groups.",
];

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES.len());
    let mut trials = vec![Trial::test("the_broker_without_a_bug_passes", is_good)];
    trials.extend(CASES.map(|case| Trial::test(case.0, move || is_caught(case))));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn suite(mangle: Option<&'static str>) -> Suite {
    Part::ALL
        .into_iter()
        .fold(Suite::new(ManglingHarness::new(mangle)), |suite, part| {
            suite.absent(part, "there is no server")
        })
        .seed(7)
}

fn is_good() -> Result<(), Failed> {
    let report = suite(None).run(Level::Full, &SECTIONS.map(str::to_owned))?;
    if report.is_good() {
        Ok(())
    } else {
        Err(Failed::from(report))
    }
}

fn is_caught((mangle, level, by): Case) -> Result<(), Failed> {
    let filters: Vec<_> = by.iter().map(|id| (*id).to_owned()).collect();
    let report = suite(Some(mangle)).run(level, &filters)?;
    for id in by {
        let check = report.checks.iter().find(|check| check.id == *id);
        if check.is_none_or(|check| check.outcome != Outcome::Failed) {
            return Err(Failed::from(format!(
                "`{id}` does not catch `{mangle}`:\n{report}"
            )));
        }
    }
    Ok(())
}
