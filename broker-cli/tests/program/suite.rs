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

/// An application's own answer to failures is none of the laws: they presume another.
#[test]
fn what_is_configured_for_the_application_fails_no_law() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    let hostile = "[brokers.default]\nprovider = 'inline'\npartitions = 2\nrequire = 'ENTERPRISE_STREAMING'\nmax_retries = 0\n\
        retry_delay = '1m'\nbackoff_multiplier = 10\nmax_delay = '1h'\nmessage_timeout = '20ms'\nenable_dlq = false\n\
        max_payload = 10\nconsumer = 'till-1'\noperation_timeout = '1ms'\noperation_retries = 0\nping_timeout = '1ms'\n\
        circuit_breaker_failures = 1\ncircuit_breaker_reset = '1h'\n";
    std::fs::write(file, hostile).unwrap();
    let answer = broker_in(folder.path(), &["conformance", "--format", "json"], "");
    let report: Value = serde_json::from_str(output(&answer)).unwrap();
    let failed: Vec<_> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["outcome"] == "failed")
        .collect();
    assert_eq!((code(&answer), errors(&answer)), (0, ""), "{failed:?}");
    assert!(
        report["flags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|flag| flag["flag"] == "STREAM_PARTITIONING" && flag["proof"] == "proved"),
        "the provider's own settings are in force: {report}"
    );
}
