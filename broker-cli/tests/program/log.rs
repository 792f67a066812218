//! What is logged, and where.

use crate::support::{broker, code, errors, output};

#[test]
fn a_command_logs_what_it_is_asked_for_and_nothing_else() {
    let publish = ["publish", "orders", "--data", "tea", "--url", "inline://"];
    let silent = broker(&publish);
    assert_eq!((code(&silent), errors(&silent)), (0, ""));
    let told = broker(&[&publish[..], &["--log", "broker_core=trace"]].concat());
    assert_eq!((code(&told), output(&told)), (0, output(&silent)));
    let logged = errors(&told);
    assert!(
        logged.contains(" TRACE broker_core::broker::publish: published "),
        "{logged}"
    );
    assert!(
        logged.lines().all(|line| line.contains(" broker_core::")),
        "{logged}"
    );
}

#[test]
fn a_level_that_is_none_is_refused_in_one_line() {
    let refused = broker(&["providers", "--log", "broker_core=loud"]);
    assert_eq!((code(&refused), errors(&refused).lines().count()), (2, 1));
    assert!(errors(&refused).contains("--log"), "{}", errors(&refused));
}
