//! `new-adapter`.

use crate::support::{broker_in, code, errors, output};

#[test]
fn a_crate_is_made_once_with_its_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let make = || broker_in(folder.path(), &["new-adapter", "broker-red-panda"], "");
    let answer = make();
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
    assert!(
        output(&answer).contains("broker-red-panda is made"),
        "{}",
        output(&answer)
    );
    let read =
        |file: &str| std::fs::read_to_string(folder.path().join("broker-red-panda").join(file)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("Cargo.toml").contains(&format!("broker-core = \"{version}\"\n")),
        "{}",
        read("Cargo.toml")
    );
    assert!(
        read("src/lib.rs").contains("Provider::new::<RedPandaConfig>(\"red_panda\""),
        "{}",
        read("src/lib.rs")
    );
    assert!(read("tests/conformance.rs").contains("broker_red_panda::PROVIDER"));

    let answer = make();
    assert_eq!(code(&answer), 2);
    assert!(
        errors(&answer).contains("is there already"),
        "{}",
        errors(&answer)
    );
    let answer = broker_in(folder.path(), &["new-adapter", "Red Panda"], "");
    assert_eq!(code(&answer), 2);
    assert!(
        errors(&answer).contains("words of small letters"),
        "{}",
        errors(&answer)
    );
}
