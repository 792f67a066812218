//! A service exports spans and metrics to a collector, and spans know where their messages come from.
//!
//! This program is that service when its first argument is a command, and runs the tests on itself when it is not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod collector;
mod laws;
#[path = "../service/process.rs"]
#[expect(dead_code, reason = "other tests ask for pages as well")]
mod process;

use broker::engine::Outgoing;
use broker::prelude::*;

/// Answers with a message to a stream that is handled in batches; numbers above 90 are refused.
#[subscriber(stream = "numbers", group = "doublers")]
async fn double(Json(number): Json<u64>) -> anyhow::Result<Outgoing> {
    if number > 90 {
        return Err(broker::engine::Permanent::new("too large").into());
    }
    Ok(Outgoing::new("doubles", Message::json(&(number * 2))?)?)
}

#[subscriber(stream = "doubles", group = "sums", batch = 10)]
async fn sum(numbers: Vec<Json<u64>>) {
    drop(numbers);
}

fn main() -> std::process::ExitCode {
    if std::env::args().any(|argument| argument == "server") {
        return broker::app().main();
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trial = |name: &str, test: fn()| {
        libtest_mimic::Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial(
            "spans_follow_from_one_another_and_batches_are_linked",
            laws::spans_and_metrics,
        ),
        trial("workers_export_each_and_one_tells_of_the_groups", laws::workers),
        trial(
            "a_collector_that_is_away_delays_no_end_and_is_told_of",
            laws::without_collector,
        ),
        trial("another_protocol_is_refused", laws::another_protocol),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
