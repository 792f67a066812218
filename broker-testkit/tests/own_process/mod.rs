//! A test of this program again, in a process of its own: as variables are a process', and so is its end.

#![expect(clippy::print_stdout, reason = "what a process of its own tells, it prints")]

use std::fmt::Display;
use std::process::Command;

use broker_testkit::servers::ServerVersion;

/// What `test` prints where `variable` is set.
pub(crate) fn said(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the test `asks_for_the_version` prints where `variable` leads to no program.
pub(crate) fn said_without_program(variable: &str, nowhere: &str) -> String {
    said("asks_for_the_version", &[(variable, nowhere), (ASK, "1")])
}

/// Set where the program may be missing.
const ASK: &str = "ASK_FOR_VERSION";

/// Holds an installed version against the oldest that tests rely on; prints why there is none, where that may be.
pub(crate) fn holds_version<E: Display>(installed: Result<ServerVersion, E>, major: u32, minor: u32) {
    match installed {
        Ok(version) => assert!(version.at_least(major, minor), "{version}"),
        Err(error) => {
            assert!(std::env::var_os(ASK).is_some(), "{error}");
            println!("{error}");
        }
    }
}

/// Runs `test` in a process that calls this too, where it starts what `start` starts, prints what that tells and dies
/// without a word to it. Answers what was printed; in that process it does not return.
pub(crate) fn said_before_dying<T>(test: &str, start: impl FnOnce() -> (T, String)) -> String {
    const DIE: &str = "START_AND_DIE";
    if std::env::var_os(DIE).is_some() {
        let (_running, told) = start();
        println!("{told}");
        std::process::abort();
    }
    said(test, &[(DIE, "1")])
}
