//! The program as its users run it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn orders(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one line on standard error of a run that is refused.
fn refused(arguments: &[&str]) -> String {
    let Ok(Output {
        status,
        stdout,
        stderr,
    }) = orders(arguments).output()
    else {
        return "not started".to_owned();
    };
    assert_eq!(status.code(), Some(2), "{arguments:?}");
    assert!(stdout.is_empty(), "{}", text(&stdout));
    let lines = text(&stderr);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    lines.trim_end().to_owned()
}

/// The summary of a run on a broker with these settings beside its provider.
fn summary(folder: &Path, settings: &str) -> Value {
    let config = folder.join("broker.toml");
    let text = format!("[brokers.default]\nprovider = \"inline\"\nretry_delay = \"20ms\"\n{settings}\n");
    let written = std::fs::write(&config, text);
    assert!(written.is_ok(), "{written:?}");
    let config = config.display().to_string();
    let output = orders(&["--config", &config, "--messages", "2000", "--json"]).output();
    let Ok(Output {
        status,
        stdout,
        stderr,
    }) = output
    else {
        return Value::Null;
    };
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{settings}: {errors}");
    serde_json::from_slice(&stdout).unwrap_or_default()
}

#[test]
fn plain_lines_and_a_table_where_nothing_is_lost() {
    let output = orders(&["--messages", "2000"]).output().unwrap();
    assert!(output.status.success());
    let shown = text(&output.stdout);
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\r'),
        "control codes: {shown:?}"
    );
    let total = shown.lines().find(|line| line.starts_with("in all")).unwrap();
    let numbers: Vec<u64> = total
        .split_whitespace()
        .skip(2)
        .map(|number| number.replace(',', "").parse().unwrap())
        .collect();
    let [published, handled, retried, dead, lost] = numbers[..] else {
        panic!("{total}")
    };
    assert_eq!((published, lost), (6000, 0));
    assert_eq!(handled + dead, published);
    assert!(retried > 0 && dead > 0, "{total}");
    assert!(shown.contains("each customer's order was kept"), "{shown}");
}

#[test]
fn the_same_seed_has_the_same_failures() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (
        summary(folder.path(), ""),
        summary(folder.path(), "partitions = 4"),
    );
    assert_eq!(one["total"], other["total"]);
    assert_eq!(
        (&one["repeated"], &one["unsent"]),
        (&Value::from(0), &Value::from(0))
    );
}

#[test]
fn a_weaker_broker_is_used_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let strong = summary(folder.path(), "");
    for (capabilities, notes) in [
        ("ORDERED_MESSAGING", 1),
        ("RELIABLE_MESSAGING", 2),
        ("SIMPLE_QUEUING, MESSAGE_ACKNOWLEDGEMENT", 3),
        ("SIMPLE_QUEUING, MESSAGE_ORDERING", 4),
        ("SIMPLE_QUEUING", 4),
    ] {
        let weak = summary(folder.path(), &format!("capabilities = \"{capabilities}\""));
        assert_eq!(
            weak["notes"].as_array().map(Vec::len),
            Some(notes),
            "{capabilities}: {weak}"
        );
        assert_eq!(weak["total"], strong["total"], "{capabilities}");
        assert_eq!(weak["out_of_order"], 0, "{capabilities}");
    }
}

#[test]
fn bad_input_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = |text: &str| {
        let path = folder.path().join("broker.toml");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let unknown = config("[brokers.default]\nprovider = \"inlien\"");
    let line = refused(&["--config", &unknown]);
    // Which ones are linked is for the features to say.
    assert!(
        line.contains("unknown provider `inlien` (linked: inline, ")
            && line.ends_with("; did you mean `inline`?"),
        "{line}"
    );
    let weak = config("[brokers.default]\nprovider = \"inline\"\ncapabilities = \"BASIC_PUBSUB\"");
    let line = refused(&["--config", &weak]);
    assert!(
        line.contains("CONSUMER_GROUPS is not among its capabilities"),
        "{line}"
    );
    let line = refused(&["--config", "/nowhere/broker.toml"]);
    assert!(
        line.starts_with("orders: config: /nowhere/broker.toml: the file can't be read"),
        "{line}"
    );
    assert_eq!(
        refused(&["--failures", "2"]),
        "orders: invalid value '2' for '--failures <RATE>': a number from 0 to 1 is expected, such as 0.05; see --help"
    );
    assert!(refused(&["--messages", "0"]).contains("--messages"));
    assert!(refused(&["--wrokers", "3"]).contains("--wrokers"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_drains_and_still_prints_the_table() {
    let mut child = orders(&["--messages", "100000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("settled") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    let total = rest.lines().find(|line| line.starts_with("in all")).unwrap();
    assert!(total.ends_with(" 0"), "{total}");
    assert!(rest.contains("interrupted and drained"), "{rest}");
}
