//! `conformance`.

use serde_json::{Value, json};

use crate::support::{broker_in, code, errors, output};

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
