//! The program as its users run it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use broker_testkit::servers::RedisConfig;
use serde_json::{Value, json};

fn rpc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpc"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn summary(arguments: &[&str]) -> Value {
    let answer = rpc(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&answer.stderr);
    assert!(
        answer.status.success(),
        "{errors}{}",
        String::from_utf8_lossy(&answer.stdout)
    );
    serde_json::from_slice(&answer.stdout).unwrap()
}

fn expected() -> Value {
    json!({
        "asked": 503, "answered": 400, "refused": 50, "failed": 50, "timed_out": 3, "late": 3, "wrong": 0,
    })
}

#[test]
fn everybody_gets_the_own_answer_in_one_process() {
    assert_eq!(summary(&["--requests", "500", "--json"]), expected());
    let shown = rpc(&["--requests", "10"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("answered (200)         8"), "{shown}");
}

#[test]
fn a_service_and_its_askers_are_processes_of_their_own_on_redis() {
    let (server, folder) = (RedisConfig::new().start().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("broker.toml");
    std::fs::write(
        &file,
        format!(
            "[brokers.default]\nprovider = \"redis\"\nuri = \"{}\"\n",
            server.url()
        ),
    )
    .unwrap();
    let file = file.display().to_string();
    let mut service = rpc(&["server", "--config", &file])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let running = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.starts_with("running"));
    assert!(running, "the service has told that it runs");
    assert_eq!(
        summary(&["ask", "--config", &file, "--requests", "500", "--json"]),
        expected()
    );
    let pid = rustix::process::Pid::from_raw(i32::try_from(service.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert!(last.starts_with("settled 503"), "{last}");
    assert!(service.wait().unwrap().success());
}

#[test]
fn the_commands_of_the_framework_are_its_own() {
    let plan = rpc(&["plan", "--url", "inline://"]).output().unwrap();
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("prices / handlers on default (inline)"), "{plan}");
    let wrong = rpc(&["--requests", "none"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
