//! rustc drops a crate that nothing mentions: these laws say which mention is enough.

use std::process::Command;

const NOTHING: &str = env!("CARGO_BIN_EXE_mentions_nothing");
const ADAPTER: &str = env!("CARGO_BIN_EXE_mentions_adapter");

const INLINE: &str = "[brokers.default]\nprovider = \"inline\"";
const DIR: &str = "[brokers.default]\nprovider = \"dir\"\nuri = \"dir:///nowhere\"";

fn opened(program: &str, config: &str) -> Result<String, String> {
    let output = Command::new(program).arg(config).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

#[test]
fn the_facade_alone_is_enough_for_inline() {
    let found = opened(NOTHING, INLINE).unwrap();
    assert!(found.starts_with("inline: ENTERPRISE_STREAMING"), "{found}");
}

#[test]
fn an_adapter_in_cargo_toml_needs_its_line() {
    assert_eq!(
        opened(ADAPTER, DIR).unwrap(),
        "dir: SIMPLE_QUEUING + MESSAGE_ORDERING"
    );
    assert_eq!(
        opened(NOTHING, DIR).unwrap_err(),
        "config: text: brokers.default.provider: unknown provider `dir` (linked: inline); \
         link the crate that registers it: `use my_adapter as _;`"
    );
}

#[test]
fn a_mentioned_adapter_stands_beside_the_facades_own() {
    assert!(opened(ADAPTER, INLINE).is_ok());
    assert_eq!(
        opened(ADAPTER, &DIR.replace("\"dir\"", "\"dirr\"")).unwrap_err(),
        "config: text: brokers.default.provider: unknown provider `dirr` (linked: dir, inline); did you mean `dir`?"
    );
}

#[test]
fn a_provider_of_this_project_is_told_with_its_feature() {
    let error = opened(NOTHING, &INLINE.replace("inline", "kafka")).unwrap_err();
    assert!(
        error.contains("unknown provider `kafka` (linked: inline); add to Cargo.toml: broker = {"),
        "{error}"
    );
    assert!(error.ends_with("features = [\"kafka\"] }"), "{error}");
}
