//! A test of this program again, in a process of its own: as variables are a process', and so is its end.

#![expect(clippy::print_stdout, reason = "what a process of its own tells, it prints")]

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use broker_testkit::servers::ServerVersion;

/// How long the end of a server may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Runs `test` in a process that calls this too, where it starts a server and dies without a word to it; then waits until
/// nothing of the server is left: its folder, and what `is_left` looks for by what `start` told beside that.
pub(crate) fn leaves_nothing<T>(
    test: &str,
    start: impl FnOnce() -> (T, PathBuf, String),
    is_left: impl Fn(&str, &str) -> bool,
) {
    const DIE: &str = "START_AND_DIE";
    if std::env::var_os(DIE).is_some() {
        let (_running, folder, more) = start();
        println!("folder={}\nmore={more}", folder.display());
        std::process::abort();
    }
    let said = said(test, &[(DIE, "1")]);
    let after = |word: &str| said.lines().find_map(|line| line.split_once(word)).unwrap().1;
    let (folder, more) = (after("folder="), after("more="));
    let until = Instant::now() + PATIENCE;
    while Path::new(folder).exists() || is_left(folder, more) {
        assert!(Instant::now() < until, "{folder} {more} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
