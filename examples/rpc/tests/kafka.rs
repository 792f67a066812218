//! The program on a real Kafka, with the file that its users start from.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use broker_testkit::servers::KafkaConfig;
use serde_json::{Value, json};

#[test]
fn a_service_and_its_askers_are_processes_of_their_own_on_kafka() {
    let server = KafkaConfig::new().start().unwrap();
    let rpc = |command: &str| {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka.toml");
        let mut program = Command::new(env!("CARGO_BIN_EXE_rpc"));
        program
            .args([command, "--config", config])
            .env("KAFKA_SERVERS", server.bootstrap_servers())
            .stdin(Stdio::null());
        program
    };
    let mut service = rpc("server").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let is_running = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.starts_with("running"));
    assert!(is_running, "the service has told that it runs");
    let asked = rpc("ask").args(["--requests", "500", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&asked.stderr);
    assert!(
        asked.status.success(),
        "{errors}{}",
        String::from_utf8_lossy(&asked.stdout)
    );
    let summary: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let expected = json!({
        "asked": 503, "answered": 400, "refused": 50, "failed": 50, "timed_out": 3, "late": 3, "wrong": 0,
    });
    assert_eq!(summary, expected);
    let pid = rustix::process::Pid::from_raw(i32::try_from(service.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert!(last.starts_with("settled 503"), "{last}");
    assert!(service.wait().unwrap().success());
}
