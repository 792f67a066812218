//! Runs the built program.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in `folder` with `input`, and without the caller's own configuration.
pub(crate) fn broker_in(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BROKER__")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .current_dir(folder)
        .env("POOL", "many")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may be gone before it was written.
    let _gone = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn broker(arguments: &[&str]) -> Output {
    broker_in(tempfile::tempdir().unwrap().path(), arguments, "")
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn output(answer: &Output) -> &str {
    std::str::from_utf8(&answer.stdout).unwrap()
}

pub(crate) fn errors(answer: &Output) -> &str {
    std::str::from_utf8(&answer.stderr).unwrap()
}

/// What is said of the provider `inlin`, in a program that has the providers of its features.
pub(crate) fn unknown_provider(place: &str) -> String {
    let linked = [
        ("kafka", cfg!(feature = "kafka")),
        ("rabbitmq", cfg!(feature = "rabbitmq")),
        ("redis", cfg!(feature = "redis-streams")),
        ("redis_pubsub", cfg!(feature = "redis-pubsub")),
    ];
    let linked = linked
        .iter()
        .filter(|(_, linked)| *linked)
        .map(|(name, _)| format!(", {name}"));
    let linked: String = linked.collect();
    format!("{place}: unknown provider `inlin` (linked: inline{linked}); did you mean `inline`?")
}
