//! `plan` of an application.

use serde_json::Value;

use crate::process::run;

const INLINE: &str = "[brokers.default]\nprovider = 'inline'\n";
const WEAK: &str = "[brokers.default]\nprovider = 'inline'\ncapabilities = 'SIMPLE_QUEUING'\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broker.toml"), INLINE).unwrap();
    std::fs::write(folder.path().join("weak.toml"), WEAK).unwrap();
    folder
}

pub(crate) fn of_subscribers() {
    let folder = folder();
    let answer = run(folder.path(), &["plan", "--format", "json"]);
    let entries: Vec<Value> = String::from_utf8(answer.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let groups: Vec<_> = entries
        .iter()
        .map(|entry| entry["group"].as_str().unwrap())
        .collect();
    assert_eq!(groups, ["counters", "billing"]);
    assert_eq!(entries[0]["attempts"], 5);
    assert_eq!(answer.status.code(), Some(0));
    let answer = run(folder.path(), &["plan", "--config", "weak.toml"]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.contains("MISSING"), "{text}");
    assert_eq!(
        answer.status.code(),
        Some(1),
        "flags are missing that are required"
    );
}

pub(crate) fn against() {
    let folder = folder();
    let answer = run(folder.path(), &["plan", "--against", "weak.toml"]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.contains("orders / billing: inline -> inline"), "{text}");
    assert!(
        text.contains("loses") && text.contains("DEAD_LETTER_QUEUE"),
        "{text}"
    );
    assert_eq!(answer.status.code(), Some(1));
    let answer = run(
        folder.path(),
        &["plan", "--config", "weak.toml", "--against", "broker.toml"],
    );
    assert_eq!(answer.status.code(), Some(0));
    let answer = run(folder.path(), &["plan", "--against", "broker.toml"]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "nothing changes\n");
}
