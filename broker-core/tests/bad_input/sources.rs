//! Variables and URLs.

use broker_core::broker::Broker;
use broker_core::config::Settings;

use crate::{at, line, opened, registry};

fn variable(name: &str, value: &str) -> String {
    let text = "[brokers.default]\nprovider = 'script'\nURI = 'scripted://h?pool_size=7'";
    line(opened(text, &[(name, value)]))
}

fn url(url: &str) -> String {
    line(Settings::from_url(url).and_then(|url| Broker::from_settings("default", url, &registry())))
}

#[test]
fn variables() {
    for (name, value, line) in [
        (
            "BROKER__DEFAULT__MAX_RETRYS",
            "3",
            "script: : unknown key; did you mean `max_retries`?",
        ),
        (
            "BROKER__DEFAULT__JITTER",
            "1",
            ": true or false is expected, not such a text",
        ),
        (
            "BROKER__DEFAULT__MODE",
            "cannel",
            "script: : unknown value `cannel`; did you mean `channel`?",
        ),
        (
            "BROKER__DEFAULT",
            "1",
            ": `BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
        ),
        (
            "BROKER__DEFAULT__",
            "1",
            ": `BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
        ),
        (
            "BROKER__DEFAULT__SASL__USER",
            "1",
            ": `BROKER__NAME__KEY` is expected, such as `BROKER__DEFAULT__URI`",
        ),
        (
            "BROKER__DEFAULT__PROVIDER",
            "scirpt",
            ": unknown provider `scirpt` (linked: script); did you mean `script`?",
        ),
    ] {
        let line = at(&format!("environment: {name}"), line);
        assert_eq!(variable(name, value), line);
    }
    assert_eq!(
        variable("BROKER__DEFAULT__URI", "scripted://h?max_retrys=1"),
        "script: config: environment: BROKER__DEFAULT__URI?max_retrys: unknown key; did you mean `max_retries`?"
    );
    assert_eq!(
        variable("BROKER__AUDIT__URI", "scripted://h"),
        "config: environment: brokers.audit.provider: missing; set it to the name of a provider, such as \"inline\""
    );
    let twice = [
        ("BROKER__DEFAULT__URI", "a://b?mode=queue"),
        ("BROKER__DEFAULT__MODE", "queue"),
    ];
    assert_eq!(
        opened("", &twice).unwrap_err().to_string(),
        "config: environment: BROKER__DEFAULT__MODE: set in the URI's query and beside it; keep one"
    );
    let twice = [
        ("BROKER__DEFAULT__MODE", "queue"),
        ("BROKER__default__MODE", "queue"),
    ];
    assert_eq!(
        opened("", &twice).unwrap_err().to_string(),
        "config: environment: BROKER__default__MODE: set twice, here and by environment: BROKER__DEFAULT__MODE; keep one"
    );
}

#[test]
fn urls() {
    for (text, line) in [
        (
            "localhost:6379",
            ": not a URL; `scheme://host` is expected, such as `redis://localhost:6379`",
        ),
        (
            "",
            ": not a URL; `scheme://host` is expected, such as `redis://localhost:6379`",
        ),
        (
            "Script://h",
            ": the scheme is none; lower-case letters, digits and `+ - . _` are expected before `://`",
        ),
        (
            "scripted://h:x",
            ": a port is not a number up to 65535; mend it, or escape `/ : @ ?` of a password as `%2F %3A %40 %3F`",
        ),
        (
            "scripted://h:65536",
            ": a port is not a number up to 65535; mend it, or escape `/ : @ ?` of a password as `%2F %3A %40 %3F`",
        ),
        ("scripted://:1", ": a host is empty; write `scheme://host:port`"),
        ("scripted://a,,b", ": a host is empty; write `scheme://host:port`"),
        (
            "scripted://[::1",
            ": an IPv6 host has no closing `]`; write `[::1]:6379`",
        ),
        (
            "scripted://[::1]1",
            ": what follows the `]` of an IPv6 host is no port; write `[::1]:6379`",
        ),
        (
            "scripted://u:p%zz@h",
            ": its password has a `%` that begins no escape; write it as `%25`",
        ),
        (
            "scripted://u%2:p@h",
            ": its user name has a `%` that begins no escape; write it as `%25`",
        ),
        (
            "scripted://h/%",
            ": its path has a `%` that begins no escape; write it as `%25`",
        ),
        (
            "scripted://u:p%ff@h",
            ": its password is not UTF-8 once the `%` escapes are read; escape it again",
        ),
        ("scripted://h#x", ": a `#` means nothing in it; write it as `%23`"),
        (
            "scripted://u:a/b@h",
            ": an `@` stands behind the host; write it as `%40`, or escape `/` and `?` of a password as `%2F` and `%3F`",
        ),
        (
            "scripted://h?mode=%",
            ".uri: its query has a `%` that begins no escape; write it as `%25`",
        ),
        (
            "scripted://h?max_retrys=3",
            "script: .uri?max_retrys: unknown key; did you mean `max_retries`?",
        ),
        (
            "scripted://h?max_retries=x",
            ".uri?max_retries: a whole number from 0 to 4294967295 is expected, not such a text",
        ),
        (
            "scripted://h?mode=queue&MODE=queue",
            ".uri?mode: set twice in the URI's query; keep one",
        ),
        (
            "scripted://h?provider=script",
            ".provider: set in the URI's query and beside it; keep one",
        ),
        (
            "redis://h",
            ".provider: unknown provider `redis` (linked: script); add to Cargo.toml: broker = { version = \"0.1.0\", features = [\"redis-streams\"] }",
        ),
    ] {
        assert_eq!(url(text), at("url", line), "{text}");
    }
}
