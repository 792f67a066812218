//! What stands in files, and what is wrong there.

use serde_json::{Value, json};
use std::process::Output;

use crate::support::{broker_in, code, errors, output, unknown_provider};

/// Runs `config check` on a file of this text.
fn check(text: &str, format: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broker.toml"), text).unwrap();
    broker_in(folder.path(), &["config", "check", "--format", format], "")
}

#[test]
fn a_file_is_used_by_name_by_place_and_under_another_brokers_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[brokers.default]\nprovider = 'inline'\n[brokers.audit]\nURI = 'inline://audit'\nprovider = 'inline'\n";
    for name in ["broker.toml", "other.toml"] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let answer = broker_in(
            folder.path(),
            &["publish", "orders", "--config", name, "--broker", "audit"],
            "one",
        );
        assert_eq!(
            (code(&answer), output(&answer), errors(&answer)),
            (0, "0:0\n", "")
        );
    }
    let answer = broker_in(folder.path(), &["publish", "orders", "--lines"], "one\ntwo");
    assert_eq!((code(&answer), output(&answer)), (0, "0:0\n0:1\n"));
    let answer = broker_in(folder.path(), &["ping", "--broker", "audti"], "");
    assert_eq!(code(&answer), 2);
    assert_eq!(
        errors(&answer),
        "error: config: --broker: no broker is called `audti` (configured: audit, default); did you mean `audit`?\n"
    );
}

#[test]
fn a_broker_that_is_wrong_does_not_keep_another_from_being_used() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[brokers.default]\nprovider = 'inline'\n[brokers.audit]\nprovider = 'inlin'\n";
    std::fs::write(folder.path().join("broker.toml"), text).unwrap();
    assert_eq!(code(&broker_in(folder.path(), &["ping"], "")), 0);
    assert_eq!(
        code(&broker_in(folder.path(), &["ping", "--broker", "audit"], "")),
        2
    );
}

#[test]
fn a_check_tells_of_each_broker() {
    let text = "[brokers.default]\nprovider = 'inline'\n[brokers.weak]\nprovider = 'inline'\ncapabilities = 'BASIC_PUBSUB'\n";
    let answer = check(text, "text");
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
    let lines: Vec<_> = output(&answer).lines().collect();
    assert_eq!(lines[0], "BROKER   PROVIDER  CAPABILITIES");
    assert_eq!(lines[2], "weak     inline    BASIC_PUBSUB");

    let wrong =
        format!("{text}[brokers.x]\nprovider = 'inlin'\n[brokers.y]\nprovider = 'inline'\npartitons = 2\n");
    let answer = check(&wrong, "json");
    assert_eq!(code(&answer), 2);
    let objects: Vec<Value> = output(&answer)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        objects[1],
        json!({ "broker": "weak", "ok": true, "provider": "inline", "capabilities": ["PUBLISH", "SUBSCRIBE"] })
    );
    assert_eq!(
        (&objects[2]["broker"], &objects[2]["ok"]),
        (&json!("x"), &json!(false))
    );
    assert!(
        objects[3]["error"]
            .as_str()
            .unwrap()
            .contains("did you mean `partitions`?"),
        "{}",
        objects[3]
    );
    assert_eq!(errors(&check(&wrong, "text")).lines().count(), 2);
}

#[test]
fn what_is_wrong_in_a_file_is_one_line_with_place_and_cure() {
    let unknown_provider = unknown_provider("config: broker.toml: brokers.default.provider");
    for (text, line) in [
        (
            "",
            "config: broker.toml: not found; write it with a `[brokers.default]` table, name another file, or set BROKER__DEFAULT__PROVIDER",
        ),
        (
            "[brokers.other]\nprovider = 'inline'\n",
            "brokers.default: missing (configured: other); add a `[brokers.default]` table with its `provider`",
        ),
        ("[brokers.default]\nprovider = 'inlin'\n", &unknown_provider),
        (
            "[brokers.default]\n",
            "config: broker.toml: brokers.default.provider: missing; set it to the name of a provider, such as \"inline\"",
        ),
        (
            "[brokers.default]\nprovider = 'inline'\nmax_retires = 1\n",
            "did you mean `max_retries`?",
        ),
        (
            "[brokers.default]\nprovider = 'inline'\nmax_retries = 'x'\n",
            "brokers.default.max_retries",
        ),
        (
            "[brokers.default]\nprovider = '${NO_SUCH_VARIABLE}'\n",
            "NO_SUCH_VARIABLE",
        ),
        (
            "[brokers.default]\nprovider = 'inline'\npartitions = '${POOL}'\n",
            "brokers.default.partitions",
        ),
        ("[brokers.default\n", "config: broker.toml:1: not TOML"),
        (
            "[broker.default]\nprovider = 'inline'\n",
            "config: broker.toml: broker: unknown key; did you mean `brokers`?",
        ),
        (
            "[brokers.default]\nprovider = 'inline'\nrequire = 'TRANSACTIONS'\n",
            "TRANSACTIONS",
        ),
    ] {
        let answer = check(text, "text");
        let said = errors(&answer);
        assert_eq!((code(&answer), said.lines().count()), (2, 1), "{text}\n{said}");
        assert!(said.starts_with("error: ") && said.contains(line), "{said}");
    }
}
