//! `capabilities`.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{broker_in, code, errors, output};

const PAGE: &str = "# Page\n\n<!-- capabilities: summary -->\n<!-- capabilities end -->\n\n<!-- capabilities: runs -->\n\
    <!-- capabilities end -->\n\n<!-- capabilities: proofs -->\n<!-- capabilities end -->\n";

/// A report of a weak broker, so that it is quick.
fn report_in(folder: &Path) -> Value {
    let arguments = [
        "conformance",
        "--url",
        "inline://?capabilities=BASIC_PUBSUB",
        "--report",
        "reports/run.json",
    ];
    std::fs::create_dir(folder.join("reports")).unwrap();
    let answer = broker_in(folder, &arguments, "");
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
    read(&folder.join("reports/run.json"))
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn held(folder: &Path, more: &[&str]) -> Output {
    let arguments = ["capabilities", "reports", "--kept", "kept", "--into", "PAGE.md"];
    broker_in(folder, &[&arguments[..], more].concat(), "")
}

#[test]
fn the_tables_are_fresh_until_a_run_says_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("PAGE.md"), PAGE).unwrap();
    let report = report_in(folder);
    let change = |change: &dyn Fn(&mut Value)| {
        let mut report = report.clone();
        change(&mut report);
        std::fs::write(folder.join("reports/run.json"), report.to_string()).unwrap();
    };

    let answer = held(folder, &[]);
    assert_eq!(code(&answer), 1, "nothing is kept yet");
    assert!(
        output(&answer).contains("inline: no report of it is kept"),
        "{}",
        output(&answer)
    );
    assert_eq!(std::fs::read_to_string(folder.join("PAGE.md")).unwrap(), PAGE);

    assert_eq!(code(&held(folder, &["--update"])), 0);
    let answer = held(folder, &[]);
    assert_eq!((code(&answer), errors(&answer)), (0, ""), "{}", output(&answer));
    let page = std::fs::read_to_string(folder.join("PAGE.md")).unwrap();
    for row in [
        "| `PUBLISH` | ✓ |",
        "| `REPLAY` | – |",
        "| `REPLAY` | – 2 |",
        "Proved by `",
        "| `config.require` | A required capability that is absent fails",
    ] {
        assert!(page.contains(row), "{row} is missing in {page}");
    }

    change(&|report| report["ms"] = json!(1));
    assert_eq!(code(&held(folder, &[])), 0, "how long it took is no difference");

    change(&|report| {
        report["declared"] = json!(["PUBLISH", "SUBSCRIBE", "REPLAY"]);
        report["checks"]
            .as_array_mut()
            .unwrap()
            .retain(|check| check["id"] != "pubsub.round_trip");
    });
    let answer = held(folder, &[]);
    assert_eq!(code(&answer), 1);
    for line in [
        "inline: REPLAY is claimed now\n",
        "inline: pubsub.round_trip: `proves PUBLISH, SUBSCRIBE`, and now nothing\n",
    ] {
        assert!(
            output(&answer).contains(line),
            "{line} is missing in {}",
            output(&answer)
        );
    }

    change(&|report| report["checks"][0]["outcome"] = json!("failed"));
    let answer = held(folder, &["--update"]);
    assert_eq!(code(&answer), 1, "what failed is not kept");
    assert!(
        errors(&answer).contains("proves nothing: "),
        "{}",
        errors(&answer)
    );
}

#[test]
fn a_page_that_somebody_edited_is_stale_and_another_server_is_only_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("PAGE.md"), PAGE).unwrap();
    let mut report = report_in(folder);
    report["server_version"] = json!("redis 7.0.15");
    let write = |report: &Value| std::fs::write(folder.join("reports/run.json"), report.to_string()).unwrap();
    write(&report);
    assert_eq!(code(&held(folder, &["--update"])), 0);
    assert!(folder.join("kept/inline-redis-7.0.json").is_file());

    report["server_version"] = json!("redis 7.0.16");
    write(&report);
    assert_eq!(code(&held(folder, &[])), 0, "a patch is no other server");
    report["server_version"] = json!("redis 7.2.1");
    write(&report);
    let answer = held(folder, &[]);
    assert_eq!(code(&answer), 0);
    assert!(
        output(&answer).starts_with("NOT KEPT: inline on redis 7.2: "),
        "{}",
        output(&answer)
    );

    let page = std::fs::read_to_string(folder.join("PAGE.md")).unwrap();
    std::fs::write(folder.join("PAGE.md"), page.replacen("✓", "–", 1)).unwrap();
    let answer = held(folder, &[]);
    assert_eq!(code(&answer), 1);
    assert!(
        output(&answer).contains("PAGE.md: its tables are stale"),
        "{}",
        output(&answer)
    );
}

#[test]
fn reports_alone_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    report_in(folder.path());
    let answer = broker_in(folder.path(), &["capabilities", "reports/run.json"], "");
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
    assert!(
        output(&answer).starts_with("### `inline`\n"),
        "{}",
        output(&answer)
    );
    let answer = broker_in(folder.path(), &["capabilities"], "");
    assert_eq!(
        (code(&answer), errors(&answer)),
        (2, "error: name a report, or a folder with reports\n")
    );
}
