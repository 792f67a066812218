//! An application's own program has the commands, with its subscribers in it.
//!
//! This program is that application when its first argument is a command, and runs the tests on itself when it is not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod plan;
mod process;
mod server;

use broker::prelude::*;

/// Takes numbers; the one in `CRASH_ON` ends its process at the first attempt.
#[subscriber(stream = "numbers", group = "counters", concurrency = 4, require = [RELIABLE_MESSAGING])]
async fn count(delivery: broker::engine::Attempt, Json(number): Json<u64>) {
    let fatal = std::env::var("CRASH_ON").is_ok_and(|crash| crash == number.to_string());
    if fatal && delivery.0 == 1 {
        std::process::abort();
    }
}

#[subscriber(stream = "orders", group = "billing", message = "order.placed")]
async fn bill() {}

fn main() -> std::process::ExitCode {
    // Workers are called with the flags that choose the broker first.
    let is_service = std::env::args().any(|argument| ["server", "plan"].contains(&argument.as_str()));
    if is_service {
        return broker::app().retry(RetryPolicy::attempts(5)).main();
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
            "one_process_is_asked_how_it_is_and_stops_with_a_receipt",
            server::one_process,
        ),
        trial(
            "workers_are_looked_after_and_their_receipts_add_up",
            server::workers,
        ),
        trial("a_worker_that_can_not_run_is_not_started_again", server::refused),
        trial("a_plan_names_the_subscribers", plan::of_subscribers),
        trial(
            "a_plan_against_another_configuration_tells_what_changes",
            plan::against,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
