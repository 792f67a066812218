//! The built program: files, exit codes, standard streams.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers may stop at the first surprise"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Runs the program in `folder` with `input`, and without the caller's own configuration.
fn broker_in(folder: &Path, arguments: &[&str], input: &str) -> Output {
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

fn broker(arguments: &[&str]) -> Output {
    broker_in(tempfile::tempdir().unwrap().path(), arguments, "")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn output(answer: &Output) -> &str {
    std::str::from_utf8(&answer.stdout).unwrap()
}

fn errors(answer: &Output) -> &str {
    std::str::from_utf8(&answer.stderr).unwrap()
}

/// Runs `config check` on a file of this text.
fn check(text: &str, format: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broker.toml"), text).unwrap();
    broker_in(folder.path(), &["config", "check", "--format", format], "")
}

#[test]
fn the_linked_providers_are_listed() {
    let answer = broker(&["providers"]);
    assert_eq!(code(&answer), 0);
    let lines: Vec<_> = output(&answer).lines().collect();
    assert_eq!(lines[0], "PROVIDER  MODE  CAPABILITIES");
    assert!(
        lines[1].starts_with("inline    -     ENTERPRISE_STREAMING + "),
        "{lines:?}"
    );

    let answer = broker(&["providers", "--format", "json"]);
    let object: Value = serde_json::from_str(output(&answer).lines().next().unwrap()).unwrap();
    assert_eq!(object["provider"], "inline");
    assert_eq!(object["names"], json!(["inline"]));
    assert_eq!(object["package"], "broker-inline");
    assert_eq!(object["modes"][0]["mode"], "");
    assert_eq!(object["modes"][0]["tier"], "ENTERPRISE_STREAMING");
    assert_eq!(object["modes"][0]["capabilities"][0], "PUBLISH");
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
    for (text, line) in [
        (
            "",
            "config: broker.toml: not found; write it with a `[brokers.default]` table, name another file, or set BROKER__DEFAULT__PROVIDER",
        ),
        (
            "[brokers.other]\nprovider = 'inline'\n",
            "brokers.default: missing (configured: other); add a `[brokers.default]` table with its `provider`",
        ),
        (
            "[brokers.default]\nprovider = 'inlin'\n",
            "config: broker.toml: brokers.default.provider: unknown provider `inlin` (linked: inline); did you mean `inline`?",
        ),
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

#[test]
fn what_is_wrong_on_the_command_line_is_one_line_and_code_2() {
    for (arguments, line) in [
        (
            &["publish"][..],
            "the following required arguments were not provided: <STREAM>; see --help",
        ),
        (
            &["publsh", "x"],
            "unrecognized subcommand 'publsh'; a similar subcommand exists: 'publish'; see --help",
        ),
        (
            &["ping", "--foramt", "json"],
            "unexpected argument '--foramt' found; a similar argument exists: '--format'; see --help",
        ),
        (
            &["ping", "--format", "yaml"],
            "invalid value 'yaml' for '--format <FORMAT>' [possible values: text, json]; see --help",
        ),
        (
            &["ping", "--url", "inline://", "--broker", "x"],
            "the argument '--url <URL>' cannot be used with '--broker <NAME>'; see --help",
        ),
        (
            &["publish", "orders", "--header", "x"],
            "invalid value 'x' for '--header <NAME=VALUE>': write NAME=VALUE; see --help",
        ),
        (
            &["read", "orders", "-g", "g", "--wait", "5"],
            "invalid value '5' for '--wait <DURATION>': write a number and a unit, such as `250ms`, `30s` or `5m`; see --help",
        ),
        (
            &["tail", "orders", "--from", "newest"],
            "invalid value 'newest' for '--from <POSITION>': unknown start `newest`; `earliest`, `latest`, `id:ID` or `time:RFC3339` is expected; see --help",
        ),
        (
            &["dlq", "purge", "orders", "-g", "g"],
            "the following required arguments were not provided: <--id <ID>|--all>; see --help",
        ),
        (
            &["ping", "--url", "inline"],
            "config: url: not a URL; `scheme://host` is expected, such as `redis://localhost:6379`",
        ),
        (
            &["ping", "--url", "inlin://"],
            "config: url.provider: unknown provider `inlin` (linked: inline); did you mean `inline`?",
        ),
        (
            &["ping", "--url", "inline://?partitons=2"],
            "did you mean `partitions`?",
        ),
        (
            &["publish", "a b", "-d", "x", "--url", "inline://"],
            "publish: invalid name: stream name `a b` has the character ' '; letters, digits and `. _ - :` are allowed",
        ),
        (
            &["read", "orders", "-g", "", "--url", "inline://"],
            "read: invalid name: group name is empty; give it at least one character",
        ),
        (
            &["ping", "--config", "no-such.toml"],
            "config: no-such.toml: the file can't be read: No such file or directory (os error 2)",
        ),
    ] {
        let answer = broker(arguments);
        let said = errors(&answer);
        assert_eq!(
            (code(&answer), output(&answer), said.lines().count()),
            (2, "", 1),
            "{arguments:?}\n{said}"
        );
        assert!(
            said.starts_with("error: ") && said.trim_end().ends_with(line),
            "{said}"
        );
    }
}

#[test]
fn a_failure_is_one_line_and_code_1() {
    let answer = broker(&[
        "publish",
        "orders",
        "-d",
        "x",
        "--header",
        "broker-x=1",
        "--url",
        "inline://",
    ]);
    assert_eq!(
        (code(&answer), errors(&answer)),
        (
            1,
            "error: publish (inline): invalid message: header `broker-x` starts with `broker-`, which is reserved; choose another name\n"
        )
    );
}

#[test]
fn the_suite_runs_on_a_configured_broker_and_reports_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = |more: &[&str]| {
        let arguments = [
            "conformance",
            "--url",
            "inline://",
            "--format",
            "json",
            "--filter",
        ];
        broker_in(folder.path(), &[&arguments[..], more].concat(), "")
    };
    let answer = conformance(&["read.", "--report", "report.json", "--report", "report.xml"]);
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
    let report: Value = serde_json::from_str(output(&answer)).unwrap();
    assert_eq!(
        (&report["provider"], &report["level"]),
        (&json!("inline"), &json!("quick"))
    );
    let checks = report["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["id"] == "read.empty" && check["outcome"] == "passed"),
        "{report}"
    );
    let file = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), report);
    let file = std::fs::read_to_string(folder.path().join("report.xml")).unwrap();
    assert!(file.contains("<testcase name=\"read.empty\""), "{file}");

    for (arguments, line) in [
        (
            &["no-such-check"][..],
            "error: no check was run; `--filter` takes a part of a check's id\n",
        ),
        (
            &["read.", "--report", "report.txt"],
            "error: invalid value 'report.txt' for '--report <FILE>': name a file that ends in .json or .xml; see --help\n",
        ),
        (
            &["read.", "--level", "fll"],
            "error: invalid value 'fll' for '--level <LEVEL>': unknown level `fll`; quick, full or chaos is expected; see --help\n",
        ),
    ] {
        let answer = conformance(arguments);
        assert_eq!((code(&answer), errors(&answer)), (2, line));
    }
}

#[test]
fn help_names_the_exit_codes_and_completions_the_commands() {
    let help = broker(&["--help"]);
    assert_eq!((code(&help), errors(&help)), (0, ""));
    assert!(
        output(&help).contains("0 done, 1 failed, 2 wrong command line or configuration, 3 no connection")
    );
    assert!(!output(&help).contains('\u{1b}'));
    assert_eq!(code(&broker(&["--version"])), 0);
    assert_eq!(code(&broker(&[])), 2);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = broker(&["completions", shell]);
        assert_eq!(code(&script), 0);
        for command in [
            "providers",
            "config",
            "ping",
            "health",
            "publish",
            "read",
            "tail",
            "groups",
            "dlq",
            "conformance",
        ] {
            assert!(output(&script).contains(command), "{shell} lacks {command}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let answer = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_tail_in_good_order() {
    let tail = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["tail", "orders", "--url", "inline://"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = tail.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !listens_to_interrupts(&process) {
        assert!(Instant::now() < deadline, "the tail never listened to Ctrl-C");
        std::thread::yield_now();
    }
    assert!(
        Command::new("kill")
            .args(["-INT", &process])
            .status()
            .unwrap()
            .success()
    );
    let answer = tail.wait_with_output().unwrap();
    assert_eq!((code(&answer), output(&answer), errors(&answer)), (0, "", ""));
}

/// Whether the kernel would call a handler of the process for the signal of Ctrl-C.
#[cfg(target_os = "linux")]
fn listens_to_interrupts(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}

#[test]
fn the_schema_knows_every_setting_in_both_spellings_and_refers_to_what_is_there() {
    let answer = broker(&["config", "schema"]);
    assert_eq!(code(&answer), 0);
    let schema: Value = serde_json::from_str(output(&answer)).unwrap();
    let inline = &schema["$defs"]["inline"];
    assert_eq!(inline["additionalProperties"], false);
    for key in [
        "uri",
        "URI",
        "max_retries",
        "MAX_RETRIES",
        "message_timeout",
        "require",
        "partitions",
        "shared",
    ] {
        assert!(!inline["properties"][key].is_null(), "{key} is missing");
    }
    let names = &schema["properties"]["brokers"]["additionalProperties"]["properties"]["provider"]["enum"];
    assert_eq!(*names, json!(["inline"]));
    let mut references = Vec::new();
    collect_references(&schema, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        assert!(
            schema.pointer(reference.trim_start_matches('#')).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn collect_references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
